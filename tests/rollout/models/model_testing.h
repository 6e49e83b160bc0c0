// Small models and comparisons that the tests of transformer and training pass share.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/lane.h"
#include "rollout/kernels/kernels.h"
#include "rollout/models/policy_weights.h"
#include "rollout/models/training_pass.h"
#include "rollout/models/transformer.h"

namespace jigsaw::testing {

// "llama", "llama_tied", "mistral" (window of 7), "qwen2", "qwen3": every branch of the layer, in sizes that are not
// multiples of 16.
std::vector<std::string> small_model_names();
ModelConfig small_model_config(const std::string& name);
// Random weights large enough that attention and SwiGLU are far from linear.
std::unique_ptr<PolicyWeights> small_model(const std::string& name, std::uint64_t seed = 1);

std::vector<std::int32_t> random_tokens(int count, int vocab_size, std::uint64_t seed);
std::vector<float> random_floats(std::size_t count, std::uint64_t seed);  // in [-1, 1)

// For equality of bits, which for floats == is not (0 == -0, NaN != NaN).
std::vector<std::uint32_t> bits(std::span<const float> values);

// KV blocks of one sequence.
class KvBlocks {
 public:
  KvBlocks(const Transformer& transformer, int num_positions);
  std::span<float* const> blocks() const { return blocks_; }

 private:
  AlignedFloats memory_;
  std::vector<float*> blocks_;
};

// Logits of all positions, [tokens][V], with the tokens run in chunks of the given sizes (the last size repeats).
std::vector<float> logits_in_chunks(Transformer& transformer, Lane& lane, std::span<const std::int32_t> tokens,
                                    std::vector<int> chunk_sizes);
// Log-probs of tokens [prompt_length ..) as rollout finds them: prompt at once, then token by token.
std::vector<float> decoded_logprobs(Transformer& transformer, Lane& lane, const ScoredSequence& sequence);

// Kernel variants this machine can run; the destructor selects the one chosen at start again.
class KernelVariants {
 public:
  KernelVariants() : original_(kernels::variant_name()) {}
  ~KernelVariants() { kernels::select_variant(original_); }
  std::vector<std::string> available();

 private:
  std::string original_;
};

}  // namespace jigsaw::testing
