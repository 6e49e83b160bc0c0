#include <fmt/format.h>

#include <functional>
#include <map>

#include "core/nearest_name.h"
#include "scheduler/policies/greedy.h"
#include "scheduler/policies/greedy_merge.h"
#include "scheduler/policies/lookahead.h"
#include "scheduler/policies/rollout_sharing.h"
#include "scheduler/policies/round_robin.h"
#include "scheduler/policies/serial.h"

namespace jigsaw {
namespace {

const std::map<std::string, std::function<std::unique_ptr<Policy>()>>& table() {
  static const std::map<std::string, std::function<std::unique_ptr<Policy>()>> policies = {
      {"greedy", [] { return std::make_unique<GreedyPolicy>(); }},
      {"greedy_merge", [] { return std::make_unique<GreedyMergePolicy>(); }},
      {"lookahead", [] { return std::make_unique<LookaheadPolicy>(); }},
      {"rollout_sharing", [] { return std::make_unique<RolloutSharingPolicy>(); }},
      {"round_robin", [] { return std::make_unique<RoundRobinPolicy>(); }},
      {"serial", [] { return std::make_unique<SerialPolicy>(); }},
  };
  return policies;
}

}  // namespace

std::string to_text(const std::vector<Option>& options) {
  std::string text;
  for (const Option& option : options) {
    text += fmt::format("{}{} (window ends in {:.2f} s, score {:.3f})", text.empty() ? "" : "; ", option.action,
                        option.finish_s, option.score);
  }
  return text;
}

std::vector<std::string> policy_names() {
  std::vector<std::string> names;
  for (const auto& [name, make] : table()) names.push_back(name);
  return names;
}

Result<std::unique_ptr<Policy>> make_policy(const std::string& name) {
  const auto row = table().find(name);
  if (row == table().end())
    return Error(ErrorCode::kInvalidArgument, unknown_name_message("policy", name, policy_names()));
  return row->second();
}

}  // namespace jigsaw
