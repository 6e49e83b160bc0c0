// The weighted sum of other rewards. A reply is ready once all its parts are.
#pragma once

#include <map>

#include "workers/rewards/reward_node.h"

namespace jigsaw {

class SumNode final : public RewardNode {
 public:
  struct Part {
    std::string name;
    double weight = 1;
    std::unique_ptr<RewardNode> node;
  };

  // `parts`: at least one, with names of their own.
  SumNode(std::string name, std::vector<Part> parts);

  Status submit(RewardRequest request) override;
  Status advance() override;
  void take_replies(std::vector<RewardReply>& replies) override;
  void add_wakeups(Wakeups& wakeups) const override;
  std::string waiting_for() const override;

 private:
  struct Pending {
    std::vector<std::optional<RewardReply>> replies;  // one a part
    std::size_t num_missing = 0;
  };
  RewardReply combined(std::uint64_t id, const Pending& pending) const;

  std::string name_;
  std::vector<Part> parts_;
  std::map<std::uint64_t, Pending> pending_;
};

}  // namespace jigsaw
