// Completes a list of prompts with an engine of its own: what `jigsaw generate` does between reading and printing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/lane.h"
#include "core/result.h"
#include "rollout/engine/rollout_engine.h"

namespace jigsaw {

struct GenerateOptions {
  SamplingParams sampling;
  std::uint64_t seed = 0;
  int max_batch = 64;
  int max_step_tokens = 512;
  std::size_t kv_bytes_max = 0;  // 0 = what the batch may need, but no more than 4 GiB unless one sequence needs that
};

// One output a prompt, in the order of the prompts; its id is the prompt's index. Prompt i is drawn with a key of
// (seed, i), so equal prompts get different completions; they share their KV blocks. A prompt that cannot run is an
// error that names its index, and nothing is generated. `tokenizer` may be null where there are no stop strings.
Result<std::vector<RolloutOutput>> generate(Lane& lane, const PolicyWeights& weights, const Tokenizer* tokenizer,
                                            std::span<const std::vector<TokenId>> prompts,
                                            const GenerateOptions& options);

}  // namespace jigsaw
