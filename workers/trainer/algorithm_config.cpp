#include "workers/trainer/algorithm_config.h"

#include <array>
#include <charconv>
#include <cmath>
#include <variant>

#include "core/nearest_name.h"
#include "workers/trainer/algorithms/algorithm.h"

namespace jigsaw {
namespace {

using Member = std::variant<double AlgorithmConfig::*, int AlgorithmConfig::*, bool AlgorithmConfig::*,
                            std::string AlgorithmConfig::*>;
struct Option {
  const char* key;
  Member member;
};

constexpr std::array kOptions = {
    Option{"name", &AlgorithmConfig::name},
    Option{"epsilon", &AlgorithmConfig::epsilon},
    Option{"epsilon_high", &AlgorithmConfig::epsilon_high},
    Option{"beta", &AlgorithmConfig::beta},
    Option{"kl_estimator", &AlgorithmConfig::kl_estimator},
    Option{"scale_rewards", &AlgorithmConfig::scale_rewards},
    Option{"use_bias_correction_kl", &AlgorithmConfig::use_bias_correction_kl},
    Option{"normalize_advantages", &AlgorithmConfig::normalize_advantages},
    Option{"max_completion_length", &AlgorithmConfig::max_completion_length},
    Option{"importance_cap", &AlgorithmConfig::importance_cap},
};

Error bad_value(const std::string& key, const std::string& value, const std::string& expected) {
  return Error(ErrorCode::kInvalidArgument, key + ": '" + value + "' is not " + expected);
}

template <typename Number>
bool parse_number(const std::string& text, Number& number) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end;
}

struct Assign {
  AlgorithmConfig& config;
  const std::string& key;
  const std::string& value;

  Status operator()(double AlgorithmConfig::*member) const {
    double number = 0;
    if (!parse_number(value, number) || !std::isfinite(number)) return bad_value(key, value, "a number");
    config.*member = number;
    return ok_status();
  }
  Status operator()(int AlgorithmConfig::*member) const {
    int number = 0;
    if (!parse_number(value, number)) return bad_value(key, value, "a whole number");
    config.*member = number;
    return ok_status();
  }
  Status operator()(bool AlgorithmConfig::*member) const {
    const bool is_true = value == "true" || value == "True";  // YAML knows both spellings
    if (!is_true && value != "false" && value != "False") return bad_value(key, value, "true or false");
    config.*member = is_true;
    return ok_status();
  }
  Status operator()(std::string AlgorithmConfig::*member) const {
    config.*member = value;
    return ok_status();
  }
};

Status check_choice(const char* key, const std::string& value, const std::vector<std::string>& choices) {
  for (const std::string& choice : choices) {
    if (value == choice) return ok_status();
  }
  return Error(ErrorCode::kInvalidArgument, unknown_name_message(key, value, choices));
}

Status check_not_negative(const char* key, double value) {
  if (value >= 0 && std::isfinite(value)) return ok_status();
  return Error(ErrorCode::kInvalidArgument, std::string(key) + ": " + std::to_string(value) + " is below 0");
}

}  // namespace

Status set_algorithm_option(AlgorithmConfig& config, const std::string& key, const std::string& value) {
  std::vector<std::string> keys;
  for (const Option& option : kOptions) {
    if (key == option.key) return std::visit(Assign{config, key, value}, option.member);
    keys.emplace_back(option.key);
  }
  return Error(ErrorCode::kInvalidArgument, unknown_name_message("algorithm setting", key, keys));
}

std::vector<std::string> algorithm_names() {
  std::vector<std::string> names;
  for (const Algorithm& algorithm : all_algorithms()) names.emplace_back(algorithm.name);
  return names;
}

Status validate(const AlgorithmConfig& config) {
  JIGSAW_RETURN_IF_ERROR(check_choice("algorithm", config.name, algorithm_names()));
  JIGSAW_RETURN_IF_ERROR(check_choice("kl_estimator", config.kl_estimator, {"k1", "k2", "k3"}));
  JIGSAW_RETURN_IF_ERROR(check_choice("scale_rewards", config.scale_rewards, {"group", "batch", "none"}));
  JIGSAW_RETURN_IF_ERROR(check_not_negative("epsilon", config.epsilon));
  JIGSAW_RETURN_IF_ERROR(check_not_negative("beta", config.beta));
  JIGSAW_RETURN_IF_ERROR(check_not_negative("importance_cap", config.importance_cap));
  JIGSAW_RETURN_IF_ERROR(check_not_negative("max_completion_length", config.max_completion_length));
  if (find_algorithm(config.name)->aggregation == Aggregation::kFixedLength && config.max_completion_length == 0) {
    return Error(ErrorCode::kInvalidArgument,
                 config.name + " divides by max_completion_length: set it to the most tokens a completion may have");
  }
  return ok_status();
}

}  // namespace jigsaw
