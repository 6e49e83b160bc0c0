#include "rollout/engine/generate.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "core/philox.h"
#include "rollout/engine/forward_pass.h"
#include "rollout/engine/kv_block_pool.h"

namespace jigsaw {
namespace {

constexpr std::size_t kKvBytesDefault = std::size_t{4} << 30;

std::size_t default_kv_bytes(const EngineOptions& options, std::size_t block_bytes) {
  const std::size_t one_sequence = static_cast<std::size_t>(num_blocks_for(options.max_positions)) * block_bytes;
  const std::size_t whole_batch = static_cast<std::size_t>(options.max_batch) * one_sequence;
  return std::max(one_sequence, std::min(whole_batch, kKvBytesDefault));
}

}  // namespace

Result<std::vector<RolloutOutput>> generate(Lane& lane, const PolicyWeights& weights, const Tokenizer* tokenizer,
                                            std::span<const std::vector<TokenId>> prompts,
                                            const GenerateOptions& options) {
  std::vector<RolloutOutput> outputs(prompts.size());
  if (prompts.empty()) return outputs;
  JIGSAW_RETURN_IF_ERROR(validate(options.sampling));
  const std::size_t longest_prompt = std::ranges::max(prompts, {}, &std::vector<TokenId>::size).size();
  const std::size_t num_tokens_max = longest_prompt + static_cast<std::size_t>(options.sampling.max_new_tokens);
  if (num_tokens_max > kMaxPositionsLimit) {
    return Error(ErrorCode::kInvalidArgument, "the longest prompt (" + std::to_string(longest_prompt) +
                                                  " tokens) and max_new_tokens (" +
                                                  std::to_string(options.sampling.max_new_tokens) + ") exceed " +
                                                  std::to_string(kMaxPositionsLimit) + " positions");
  }
  EngineOptions engine_options{.max_batch = options.max_batch,
                               .max_step_tokens = options.max_step_tokens,
                               .max_positions = std::max(static_cast<int>(num_tokens_max), 2),
                               .kv_bytes_max = options.kv_bytes_max};
  JIGSAW_RETURN_IF_ERROR(validate(engine_options));
  auto model = make_transformer_pass(weights, engine_options.max_positions);
  if (engine_options.kv_bytes_max == 0) {
    engine_options.kv_bytes_max = default_kv_bytes(engine_options, model->kv_block_floats() * sizeof(float));
  }
  JIGSAW_ASSIGN_OR_RETURN(
      auto engine, make_rollout_engine(std::move(model), weights.config().eos_tokens, tokenizer, engine_options));

  std::map<std::vector<TokenId>, std::uint64_t> groups;  // numbered from 1
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const std::uint64_t group = groups.try_emplace(prompts[i], groups.size() + 1).first->second;
    const Status status = engine->submit({.id = i,
                                          .random_key = philox_key(options.seed, 0, i),
                                          .prefix_group = group,
                                          .prompt = prompts[i],
                                          .sampling = options.sampling});
    if (!status.ok()) return status.error();  // names i, which is its id
  }
  while (!engine->idle()) {
    for (RolloutOutput& output : engine->step(lane).finished) outputs[output.id] = std::move(output);
  }
  return outputs;
}

}  // namespace jigsaw
