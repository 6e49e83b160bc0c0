// Decode speed of one policy on this machine: what `jigsaw bench decode` prints beside the peers' scripts, measured as
// they do. A run prefills `batch` equal prompts, untimed, and then times `new_tokens` passes of one token a sequence,
// each followed by an argmax over every row of logits; log-probs and sampler are no part of it.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "core/lane.h"
#include "core/result.h"
#include "rollout/models/policy_weights.h"
#include "rollout/tokenizer/tokenizer.h"

namespace jigsaw {

struct DecodeBenchOptions {
  int batch = 1;
  int prompt_tokens = 16;       // ids 100, 101, ... (modulo the vocabulary), the same for every peer
  int new_tokens = 64;          // timed passes
  int repeats = 3;              // after one short warm-up
  bool through_engine = false;  // times RolloutEngine::step() instead, with its batcher, log-probs and events
};

// Names and units are the keys of the peers' JSON lines.
struct DecodeBenchResult {
  std::string peer = "jigsaw";  // "jigsaw-engine" when through_engine
  int batch = 0;
  int prompt_tokens = 0;
  int new_tokens = 0;
  int threads = 0;
  double tok_per_s = 0;                     // of the whole batch; median of the repeats
  std::array<double, 2> tok_per_s_range{};  // slowest and fastest repeat
  std::vector<TokenId> first_tokens;        // up to 8 of sequence 0, to compare with the peers
  double foreign_cores = 0;                 // rerun what has more than 0.1
};

Result<DecodeBenchResult> run_decode_bench(Lane& lane, const PolicyWeights& weights, const DecodeBenchOptions& options);

}  // namespace jigsaw
