// The Reward over a tree of nodes: accounts for outstanding requests, and waits.
#pragma once

#include <set>

#include "workers/rewards/reward_node.h"

namespace jigsaw {

class PolledReward final : public Reward {
 public:
  static constexpr std::size_t kRequestsMax = 65536;

  PolledReward(std::string name, std::unique_ptr<RewardNode> root, const Clock& clock);

  Status submit(RewardRequest request) override;
  // The wait itself is by the machine's clock, the time limits of commands by the one given.
  Result<std::vector<RewardReply>> poll(std::chrono::milliseconds wait) override;
  std::size_t num_outstanding() const override { return outstanding_.size(); }
  std::string waiting_for() const override;

 private:
  Error fail(Error error);

  std::string name_;
  std::unique_ptr<RewardNode> root_;
  const Clock& clock_;
  std::set<std::uint64_t> outstanding_;
  std::optional<Error> failure_;
};

}  // namespace jigsaw
