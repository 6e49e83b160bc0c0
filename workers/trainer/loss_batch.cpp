#include "workers/trainer/loss_batch.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <istream>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/nearest_name.h"
#include "workers/trainer/sample_checks.h"

namespace jigsaw {
namespace {

using nlohmann::json;

Error invalid(const std::string& message) { return Error(ErrorCode::kInvalidArgument, message); }

// By place, not by value: what stands there may be anything.
Error bad_item(const char* key, std::size_t index, const char* expected) {
  return invalid("'" + std::string(key) + "': item " + std::to_string(index) + " is not " + expected);
}

const json* find(const json& line, const char* key) {
  const auto found = line.find(key);
  return found == line.end() || found->is_null() ? nullptr : &*found;
}

Result<std::int64_t> read_group(const json& line) {
  const json* value = find(line, "group");
  if (value == nullptr) return invalid("'group' is missing");
  // 7.0 is 7, and an unsigned number beyond int64 wraps: distinct groups stay distinct.
  if (value->is_number_integer()) return value->get<std::int64_t>();
  const double number = value->is_number() ? value->get<double>() : 0.5;
  if (std::abs(number) > 0x1p53 || number != std::floor(number)) return invalid("'group' is not a whole number");
  return static_cast<std::int64_t>(number);
}

Result<double> read_reward(const json& line) {
  const json* value = find(line, "reward");
  if (value == nullptr) return invalid("'reward' is missing");
  if (!value->is_number()) return invalid("'reward' is not a number");
  return value->get<double>();
}

Status append_tokens(const json& line, const char* key, std::vector<std::int32_t>& tokens) {
  const json* values = find(line, key);
  if (values == nullptr) return invalid("'" + std::string(key) + "' is missing");
  if (!values->is_array()) return invalid("'" + std::string(key) + "' is not a list of token ids");
  constexpr std::uint64_t kTokenMax = std::numeric_limits<std::int32_t>::max();
  for (std::size_t i = 0; i < values->size(); ++i) {
    const json& value = (*values)[i];
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > kTokenMax) return bad_item(key, i, "a token id");
    tokens.push_back(value.get<std::int32_t>());
  }
  return ok_status();
}

Status read_logprobs(const json& line, const char* key, int num_tokens, std::vector<float>& logprobs) {
  const json* values = find(line, key);
  if (values == nullptr) return ok_status();
  if (!values->is_array()) return invalid("'" + std::string(key) + "' is not a list of numbers");
  // Here, since an empty list would pass for an absent one.
  if (values->size() != static_cast<std::size_t>(num_tokens)) {
    return invalid("'" + std::string(key) + "' has " + std::to_string(values->size()) + " values for " +
                   std::to_string(num_tokens) + " tokens");
  }
  for (std::size_t i = 0; i < values->size(); ++i) {
    const json& value = (*values)[i];
    if (!value.is_number()) return bad_item(key, i, "a number");
    logprobs.push_back(value.get<float>());
  }
  return ok_status();
}

Result<TrainingSample> read_sample(const std::string& text) {
  const json line = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (line.is_discarded()) return invalid("not valid JSON");
  if (!line.is_object()) return invalid("not a JSON object");
  const std::vector<std::string> keys = {"group", "reward", "prompt_tokens", "tokens", "old_logprobs", "ref_logprobs"};
  for (const auto& [key, value] : line.items()) {
    if (std::ranges::find(keys, key) == keys.end()) return invalid(unknown_name_message("key", key, keys));
  }
  TrainingSample sample;
  JIGSAW_ASSIGN_OR_RETURN(sample.group, read_group(line));
  JIGSAW_ASSIGN_OR_RETURN(sample.reward, read_reward(line));
  JIGSAW_RETURN_IF_ERROR(append_tokens(line, "prompt_tokens", sample.tokens));
  sample.prompt_length = static_cast<int>(sample.tokens.size());
  JIGSAW_RETURN_IF_ERROR(append_tokens(line, "tokens", sample.tokens));
  JIGSAW_RETURN_IF_ERROR(read_logprobs(line, "old_logprobs", sample.completion_length(), sample.old_logprobs));
  JIGSAW_RETURN_IF_ERROR(read_logprobs(line, "ref_logprobs", sample.completion_length(), sample.ref_logprobs));
  return sample;
}

}  // namespace

Result<std::vector<TrainingSample>> read_loss_batch(std::istream& lines, const std::string& name) {
  std::vector<TrainingSample> samples;
  std::string text;
  for (std::int64_t number = 1; std::getline(lines, text); ++number) {
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = name + ":" + std::to_string(number);
    Result<TrainingSample> sample = read_sample(text);
    if (!sample) return sample.error().with_context(where);
    JIGSAW_RETURN_IF_ERROR(check_shape(where, *sample));
    samples.push_back(std::move(*sample));
  }
  if (lines.bad()) return Error(ErrorCode::kUnavailable, name + ": reading failed");
  if (samples.empty()) return invalid(name + ": no completions in it");
  return samples;
}

}  // namespace jigsaw
