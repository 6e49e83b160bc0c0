// --weight-format, of the commands that run a model.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "rollout/models/policy_weights.h"

namespace jigsaw::cli {

inline void add_weight_format_option(CLI::App& command, WeightFormat& format) {
  command
      .add_option_function<std::string>(
          "--weight-format", [&format](const std::string& name) { format = *parse_weight_format(name); },
          "What matrices are read as: fp32, or rounded to bf16")
      ->check(CLI::IsMember({"fp32", "bf16"}));
}

}  // namespace jigsaw::cli
