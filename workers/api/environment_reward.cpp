#include "workers/api/environment_reward.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "workers/rewards/instant_node.h"
#include "workers/rewards/polled_reward.h"

namespace jigsaw {
namespace {

constexpr const char* kName = "environment";

class EnvironmentScorer final : public Scorer {
 public:
  explicit EnvironmentScorer(const Environment& environment) : environment_(environment) {}

  Result<double> score(const RewardRequest& request) const override {
    const Completion completion{
        .text = request.completion, .num_tokens = request.num_tokens, .truncated = request.truncated};
    const double reward = environment_.reward(request.prompt_index, completion);
    if (std::abs(reward) <= kRewardMax) return reward;
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("prompt {}: Environment::reward() gave {} for the completion '{}'; it must be finite and "
                             "at most {:g} in size",
                             request.prompt_index, reward, completion.text, kRewardMax));
  }

 private:
  const Environment& environment_;
};

}  // namespace

std::unique_ptr<Reward> make_environment_reward(const Environment& environment) {
  RewardConfig config;
  config.name = kName;
  config.on_error = "fail";
  auto node = std::make_unique<InstantNode>(config, std::make_unique<EnvironmentScorer>(environment));
  return std::make_unique<PolledReward>(kName, std::move(node), system_clock());
}

}  // namespace jigsaw
