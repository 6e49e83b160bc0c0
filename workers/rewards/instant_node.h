// The node of a reward that is computed on the spot.
#pragma once

#include "workers/rewards/reward_node.h"

namespace jigsaw {

class InstantNode final : public RewardNode {
 public:
  InstantNode(const RewardConfig& config, std::unique_ptr<Scorer> scorer);

  Status submit(RewardRequest request) override;
  Status advance() override { return ok_status(); }
  void take_replies(std::vector<RewardReply>& replies) override;
  void add_wakeups(Wakeups&) const override {}
  std::string waiting_for() const override { return ""; }

 private:
  std::string name_;
  bool fail_on_error_;
  double error_value_;
  std::unique_ptr<Scorer> scorer_;
  std::vector<RewardReply> replies_;
};

}  // namespace jigsaw
