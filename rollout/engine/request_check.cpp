#include "rollout/engine/request_check.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>

#include "rollout/engine/kv_block_pool.h"

namespace jigsaw {
namespace {

// Empty when all is well.
std::string problem_of_tokens(const char* field, std::span<const TokenId> tokens, int vocab_size) {
  const auto outside = std::ranges::find_if(tokens, [&](TokenId token) { return token < 0 || token >= vocab_size; });
  if (outside == tokens.end()) return "";
  return std::string(field) + "[" + std::to_string(outside - tokens.begin()) + "]: token " + std::to_string(*outside) +
         " is outside the vocabulary of " + std::to_string(vocab_size);
}

std::string problem_of_length(const RolloutRequest& request, const RequestLimits& limits) {
  const std::size_t max_positions = static_cast<std::size_t>(limits.max_positions);
  if (request.prompt.size() >= max_positions || request.partial_tokens.size() > max_positions - request.prompt.size()) {
    return "prompt (" + std::to_string(request.prompt.size()) + " tokens) and partial_tokens (" +
           std::to_string(request.partial_tokens.size()) + ") leave no room below max_positions (" +
           std::to_string(limits.max_positions) + ")";
  }
  // The last token is never run, so it needs no position in the KV blocks.
  const std::int64_t num_tokens_max =
      static_cast<std::int64_t>(request.prompt.size()) + std::max(request.sampling.max_new_tokens, 1);
  const std::int64_t num_tokens = std::min<std::int64_t>(num_tokens_max, limits.max_positions);
  const int num_blocks = num_blocks_for(static_cast<int>(num_tokens) - 1);
  if (num_blocks > limits.num_kv_blocks) {
    return std::to_string(num_tokens) + " tokens of prompt and completion need " + std::to_string(num_blocks) +
           " KV blocks, and kv_bytes_max has room for " + std::to_string(limits.num_kv_blocks);
  }
  return "";
}

std::string problem_of(const RolloutRequest& request, const RequestLimits& limits) {
  if (request.prompt.empty()) return "the prompt is empty; it needs at least one token";
  if (const Status status = validate(request.sampling); !status.ok()) return status.error().message();
  if (request.partial_logprobs.size() != request.partial_tokens.size()) {
    return std::to_string(request.partial_logprobs.size()) + " partial_logprobs for " +
           std::to_string(request.partial_tokens.size()) + " partial_tokens";
  }
  if (!(request.sampling.stop_strings.empty() && request.sampling.pause_string.empty()) && !limits.has_tokenizer) {
    return "stop_strings and pause_string need a tokenizer, and this engine has none";
  }
  if (const auto run = first_misplaced(request.partial_given, static_cast<int>(request.partial_tokens.size()))) {
    return "partial_given: tokens " + std::to_string(run->begin) + " to " + std::to_string(run->end) +
           " are no run of partial_tokens after the one before";
  }
  std::string problem = problem_of_tokens("prompt", request.prompt, limits.vocab_size);
  if (problem.empty()) problem = problem_of_tokens("partial_tokens", request.partial_tokens, limits.vocab_size);
  if (problem.empty()) problem = problem_of_length(request, limits);
  return problem;
}

}  // namespace

Status validate(const RolloutRequest& request, const RequestLimits& limits) {
  const std::string problem = problem_of(request, limits);
  if (problem.empty()) return ok_status();
  return Error(ErrorCode::kInvalidArgument, "rollout request " + std::to_string(request.id) + ": " + problem);
}

}  // namespace jigsaw
