#include "workers/trainer/sample_checks.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "workers/trainer/algorithms/algorithm.h"

namespace jigsaw {
namespace {

Error invalid(const std::string& where, const std::string& what) {
  return Error(ErrorCode::kInvalidArgument, where + ": " + what);
}

Status check_logprobs(const std::string& where, const char* field, const TrainingSample& sample,
                      const std::vector<float>& values) {
  if (!values.empty() && values.size() != static_cast<std::size_t>(sample.completion_length())) {
    return invalid(where, std::string(field) + " has " + std::to_string(values.size()) + " values for " +
                              std::to_string(sample.completion_length()) + " completion tokens");
  }
  if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) {
    return invalid(where, "a value of " + std::string(field) + " is not finite");
  }
  return ok_status();
}

}  // namespace

Status check_shape(const std::string& where, const TrainingSample& sample) {
  if (sample.prompt_length < 1) return invalid(where, "its prompt is empty, so its first token has no log-prob");
  if (sample.prompt_length > static_cast<int>(sample.tokens.size())) {
    return invalid(where, "its prompt_length " + std::to_string(sample.prompt_length) + " exceeds its " +
                              std::to_string(sample.tokens.size()) + " tokens");
  }
  if (const auto run = first_misplaced(sample.given, static_cast<int>(sample.tokens.size()) - sample.prompt_length)) {
    return invalid(where, "given tokens " + std::to_string(run->begin) + " to " + std::to_string(run->end) +
                              " are no run of its completion after the one before");
  }
  if (!std::isfinite(sample.reward)) return invalid(where, "its reward is not finite");
  JIGSAW_RETURN_IF_ERROR(check_logprobs(where, "old_logprobs", sample, sample.old_logprobs));
  return check_logprobs(where, "ref_logprobs", sample, sample.ref_logprobs);
}

Status check_for_model(const std::string& where, const TrainingSample& sample, const SampleLimits& limits) {
  JIGSAW_RETURN_IF_ERROR(check_shape(where, sample));
  if (sample.tokens.size() > static_cast<std::size_t>(limits.max_positions)) {
    return invalid(where, "its " + std::to_string(sample.tokens.size()) + " tokens exceed max_positions (" +
                              std::to_string(limits.max_positions) + ")");
  }
  for (const std::int32_t token : sample.tokens) {
    if (token < 0 || token >= limits.vocab_size) {
      return invalid(where, "token " + std::to_string(token) + " is not in the model's vocabulary of " +
                                std::to_string(limits.vocab_size));
    }
  }
  return ok_status();
}

Status check_for_loss(const std::string& where, const AlgorithmConfig& algorithm, const TrainingSample& sample,
                      std::span<const double> advantages) {
  CHECK_MSG(advantages.size() == static_cast<std::size_t>(sample.completion_length()), where);
  if (needs_kl_in_loss(algorithm) && sample.ref_logprobs.empty() && !advantages.empty()) {
    return invalid(where, "it has no ref_logprobs, and beta > 0 needs them");
  }
  return ok_status();
}

}  // namespace jigsaw
