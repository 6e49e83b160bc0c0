#include "tests/rollout/models/model_testing.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "core/philox.h"

namespace jigsaw::testing {

std::vector<std::string> small_model_names() { return {"llama", "llama_tied", "mistral", "qwen2", "qwen3"}; }

ModelConfig small_model_config(const std::string& name) {
  ModelConfig config;
  config.family = name == "llama_tied" ? "llama" : name;
  config.hidden_size = 40;
  config.intermediate_size = 56;
  config.num_layers = 3;
  config.num_heads = 6;
  config.num_kv_heads = 2;
  config.head_dim = 8;
  config.vocab_size = 83;
  config.max_positions = 128;
  config.rms_norm_eps = 1e-6f;
  config.rope.theta = 1000.0;
  if (name == "llama") {
    config.rope = {.kind = RopeConfig::Kind::kLlama3, .theta = 100.0, .factor = 8.0, .original_max_positions = 32};
  } else if (name == "llama_tied") {
    config.tied_embeddings = true;
    config.rope = {.kind = RopeConfig::Kind::kLinear, .theta = 10000.0, .factor = 2.0};
  } else if (name == "mistral") {
    config.sliding_window = 7;
  } else if (name == "qwen2") {
    config.qkv_bias = true;
    config.tied_embeddings = true;
  } else {
    CHECK(name == "qwen3");
    config.qk_norm = true;
    config.head_dim = 20;
  }
  return config;
}

std::unique_ptr<PolicyWeights> small_model(const std::string& name, std::uint64_t seed) {
  auto weights = std::make_unique<PolicyWeights>(small_model_config(name));
  initialize_weights(*weights, seed);
  const auto& parameters = weights->layout().parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    float* values = weights->mutable_parameter(static_cast<int>(i));
    if (parameters[i].is_matrix()) {
      for (std::size_t k = 0; k < parameters[i].size; ++k) values[k] *= 12.0f;  // padding stays zero
    } else {
      const auto count = static_cast<std::size_t>(parameters[i].rows);
      const std::vector<float> random = random_floats(count, philox_key(seed, 7, i));
      for (std::size_t k = 0; k < count; ++k) values[k] += 0.5f * random[k];
    }
  }
  return weights;
}

std::vector<std::int32_t> random_tokens(int count, int vocab_size, std::uint64_t seed) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<std::int32_t>(philox_uniform(seed, 1, i) * vocab_size);
  }
  return tokens;
}

std::vector<float> random_floats(std::size_t count, std::uint64_t seed) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(2.0 * philox_uniform(seed, 2, i) - 1.0);
  return values;
}

std::vector<std::uint32_t> bits(std::span<const float> values) {
  std::vector<std::uint32_t> out;
  out.reserve(values.size());
  for (const float value : values) out.push_back(std::bit_cast<std::uint32_t>(value));
  return out;
}

KvBlocks::KvBlocks(const Transformer& transformer, int num_positions) {
  const auto count = static_cast<std::size_t>((num_positions + kernels::kPanel - 1) / kernels::kPanel);
  memory_ = AlignedFloats(count * transformer.kv_block_floats());
  // Last block first: a sequence's blocks need not stand in order.
  for (std::size_t i = count; i-- > 0;) blocks_.push_back(memory_.data() + i * transformer.kv_block_floats());
}

std::vector<float> logits_in_chunks(Transformer& transformer, Lane& lane, std::span<const std::int32_t> tokens,
                                    std::vector<int> chunk_sizes) {
  const KvBlocks kv(transformer, static_cast<int>(tokens.size()));
  std::vector<float> all;
  std::size_t begin = 0;
  for (std::size_t chunk = 0; begin < tokens.size(); ++chunk) {
    const auto wanted = static_cast<std::size_t>(chunk_sizes[std::min(chunk, chunk_sizes.size() - 1)]);
    const std::size_t count = std::min(wanted, tokens.size() - begin);
    const SequenceRows rows{static_cast<int>(count), static_cast<int>(begin), kv.blocks()};
    std::vector<std::int32_t> every(count);
    std::iota(every.begin(), every.end(), 0);
    const auto logits = transformer.forward(lane, {tokens.subspan(begin, count), {&rows, 1}, every});
    all.insert(all.end(), logits.begin(), logits.end());
    begin += count;
  }
  return all;
}

std::vector<float> decoded_logprobs(Transformer& transformer, Lane& lane, const ScoredSequence& sequence) {
  const int vocab = transformer.config().vocab_size;
  const std::vector<float> logits = logits_in_chunks(transformer, lane, sequence.tokens, {sequence.prompt_length, 1});
  std::vector<float> logprobs;
  for (std::size_t i = static_cast<std::size_t>(sequence.prompt_length); i < sequence.tokens.size(); ++i) {
    const float* row = logits.data() + (i - 1) * static_cast<std::size_t>(vocab);
    kernels::LogSoftmaxStats stats;
    kernels::log_softmax_stats(lane, 1, vocab, row, vocab, &stats);
    logprobs.push_back(kernels::log_prob_of(row[sequence.tokens[i]], stats));
  }
  return logprobs;
}

std::vector<std::string> KernelVariants::available() {
  std::vector<std::string> names;
  for (const char* name : {"avx512", "avx2", "portable"}) {
    if (kernels::select_variant(name)) names.emplace_back(name);
  }
  kernels::select_variant(original_);
  return names;
}

}  // namespace jigsaw::testing
