// What moving sequences between two workers costs on this machine: what `jigsaw bench migrate` prints. Both workers are
// threads of this process, each with an engine of its own; between them are real sockets on the loopback.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/result.h"
#include "rollout/models/policy_weights.h"

namespace jigsaw {

struct MigrateBenchOptions {
  int sequences = 8;
  int tokens = 512;    // of each, when it moves
  int repeats = 5;     // medians are reported
  int pauses = 40;     // sequences that move one at a time, while the target decodes others
  int neighbours = 3;  // these others
};

struct MigrateBenchResult {
  std::size_t payload_bytes = 0;  // of all sequences, with keys and values
  // Bytes a second: of those bytes as ZeroMQ messages without encryption, and of moves from the first offer to the last
  // acknowledgement.
  double stream_bytes_per_s = 0, kv_copy_plain_bytes_per_s = 0, kv_copy_bytes_per_s = 0;
  // Tokens a second of a prompt's prefill and of moved sequences that are computed again, both on the target.
  double prefill_tokens_per_s = 0, recompute_tokens_per_s = 0;
  // Seconds from when a sequence stopped to when its target had it; encrypted.
  std::vector<double> kv_copy_pauses_s, recompute_pauses_s;
};

Result<MigrateBenchResult> run_migrate_bench(const PolicyWeights& weights, const MigrateBenchOptions& options);

}  // namespace jigsaw
