// What rewards are built of: a tree of nodes that never wait. PolledReward puts the Reward interface over its root, and
// is the one place that does wait. Executor thread only.
#pragma once

#include <memory>

#include "workers/commands/wakeups.h"
#include "workers/rewards/reward.h"

namespace jigsaw {

class RewardNode {
 public:
  virtual ~RewardNode() = default;
  // `request.id` is not outstanding. An error ends the run.
  virtual Status submit(RewardRequest request) = 0;
  // Does all that can be done without waiting. An error ends the run.
  virtual Status advance() = 0;
  // Hands over the replies that are ready, in any order.
  virtual void take_replies(std::vector<RewardReply>& replies) = 0;
  virtual void add_wakeups(Wakeups& wakeups) const = 0;
  // Empty when nothing is being waited for.
  virtual std::string waiting_for() const = 0;
};

// A value for each request at once.
class Scorer {
 public:
  virtual ~Scorer() = default;
  // Finite. An error means that this completion cannot be judged, such as an answer that holds no number.
  virtual Result<double> score(const RewardRequest& request) const = 0;
};

// What a node calls itself in errors: the configured name, or else the type.
std::string reward_name(const RewardConfig& config);

// Builds the tree; config errors name the reward.
Result<std::unique_ptr<RewardNode>> make_reward_node(const RewardConfig& config, const Clock& clock);

}  // namespace jigsaw
