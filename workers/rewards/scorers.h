// The rewards that are computed on the spot: one a file, named after the type; registry.cpp lists them.
#pragma once

#include "workers/rewards/reward_node.h"

namespace jigsaw {

Result<std::unique_ptr<Scorer>> make_char_match(const RewardConfig& config);
Result<std::unique_ptr<Scorer>> make_contains(const RewardConfig& config);
Result<std::unique_ptr<Scorer>> make_countdown(const RewardConfig& config);
Result<std::unique_ptr<Scorer>> make_exact_match(const RewardConfig& config);
Result<std::unique_ptr<Scorer>> make_format(const RewardConfig& config);
Result<std::unique_ptr<Scorer>> make_length(const RewardConfig& config);
Result<std::unique_ptr<Scorer>> make_number_match(const RewardConfig& config);
Result<std::unique_ptr<Scorer>> make_regex_match(const RewardConfig& config);

}  // namespace jigsaw
