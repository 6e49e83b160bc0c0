// Checks of what users set: EngineOptions and SamplingParams.
#include <cmath>
#include <string>
#include <utility>

#include "rollout/engine/rollout_engine.h"

namespace jigsaw {
namespace {

Error invalid(std::string message) { return Error(ErrorCode::kInvalidArgument, std::move(message)); }

}  // namespace

Status validate(const EngineOptions& options) {
  if (options.max_batch < 1) return invalid("max_batch: " + std::to_string(options.max_batch) + " is below 1");
  if (options.max_step_tokens < 1) {
    return invalid("max_step_tokens: " + std::to_string(options.max_step_tokens) + " is below 1");
  }
  if (options.max_positions < 2 || options.max_positions > kMaxPositionsLimit) {
    return invalid("max_positions: " + std::to_string(options.max_positions) + " is outside [2, " +
                   std::to_string(kMaxPositionsLimit) + "]");
  }
  return ok_status();
}

Status validate(const SamplingParams& params) {
  if (!std::isfinite(params.temperature) || params.temperature < 0) {
    return invalid("temperature: " + std::to_string(params.temperature) + " is not a number >= 0");
  }
  if (params.top_k < 0) return invalid("top_k: " + std::to_string(params.top_k) + " is below 0 (0 = off)");
  if (!(params.top_p > 0 && params.top_p <= 1)) {
    return invalid("top_p: " + std::to_string(params.top_p) + " is outside (0, 1] (1 = off)");
  }
  if (params.max_new_tokens < 0) {
    return invalid("max_new_tokens: " + std::to_string(params.max_new_tokens) + " is below 0");
  }
  for (const std::string& text : params.stop_strings) {
    if (text.empty()) return invalid("stop_strings: an empty string would end every completion");
  }
  if (params.pauses_max < 0) return invalid("pauses_max: " + std::to_string(params.pauses_max) + " is below 0");
  return ok_status();
}

}  // namespace jigsaw
