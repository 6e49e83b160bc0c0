// The table of rewards. A new one that is computed on the spot is a file beside this one, a declaration in scorers.h
// and a row here.
#include <cmath>
#include <set>

#include "core/nearest_name.h"
#include "workers/rewards/command_node.h"
#include "workers/rewards/instant_node.h"
#include "workers/rewards/polled_reward.h"
#include "workers/rewards/scorers.h"
#include "workers/rewards/sum_node.h"

namespace jigsaw {
namespace {

constexpr std::string_view kSum = "sum", kCommand = "command";

struct RewardRow {
  std::string_view type, summary;
  std::vector<std::string> fields;                                      // that the type uses
  Result<std::unique_ptr<Scorer>> (*make)(const RewardConfig& config);  // null: made by make_reward_node()
};

const std::vector<RewardRow>& reward_rows() {
  static const std::vector<RewardRow> rows = {
      {"exact_match", "1 if the completion is the answer", {"strip", "ignore_case", "extract"}, &make_exact_match},
      {"number_match",
       "1 if the completion's last number equals the answer's",
       {"strip", "ignore_case", "extract"},
       &make_number_match},
      {"contains", "1 if the answer stands in the completion", {"strip", "ignore_case", "extract"}, &make_contains},
      {"char_match",
       "share of characters that are right, at their places",
       {"strip", "ignore_case", "extract"},
       &make_char_match},
      {"regex_match",
       "1 if a pattern is found in the completion",
       {"pattern", "strip", "ignore_case"},
       &make_regex_match},
      {"format",
       "1 if the whole completion matches a pattern, or ends with one <answer>..</answer>",
       {"pattern", "strip", "ignore_case"},
       &make_format},
      {"length", "nearness to a number of tokens, or a bound on it", {"length_target", "length_max"}, &make_length},
      {"countdown",
       "1 if the expression reaches the target with the given numbers",
       {"strip", "extract", "ignore_case", "partial_credit", "use_all"},
       &make_countdown},
      {kSum, "weighted sum of other rewards", {"parts"}, nullptr},
      {kCommand, "what an external program says, see the protocol", command_fields(), nullptr}};
  return rows;
}

// Fields that were changed from their defaults, by their names in a job file: those that the type does not use are
// mistakes.
std::set<std::string> changed_fields(const RewardConfig& config) {
  const RewardConfig plain;
  std::set<std::string> changed;
  const auto note = [&](const char* name, bool is_changed) {
    if (is_changed) changed.insert(name);
  };
  note("pattern", config.pattern != plain.pattern);
  note("extract", config.extract != plain.extract);
  note("length_target", config.length_target != plain.length_target);
  note("length_max", config.length_max != plain.length_max);
  note("ignore_case", config.ignore_case != plain.ignore_case);
  note("strip", config.strip != plain.strip);
  note("partial_credit", config.partial_credit != plain.partial_credit);
  note("use_all", config.use_all != plain.use_all);
  note("parts", !config.parts.empty());
  for (std::string& name : changed_command_fields(config.command)) changed.insert(std::move(name));
  return changed;
}

Error bad_config(const RewardConfig& config, const std::string& message) {
  return Error(ErrorCode::kInvalidArgument, "reward '" + reward_name(config) + "': " + message);
}

Status check_common(const RewardConfig& config, const RewardRow& row) {
  std::set<std::string> used(row.fields.begin(), row.fields.end());
  for (const std::string& field : changed_fields(config)) {
    if (used.count(field) > 0) continue;
    std::string known;
    for (const std::string& name : row.fields) known += (known.empty() ? "" : ", ") + name;
    return bad_config(config, "type " + config.type + " does not use '" + field + "'; it uses " + known);
  }
  if (config.on_error != "value" && config.on_error != "fail") {
    return bad_config(config, "on_error is '" + config.on_error + "', but must be value or fail");
  }
  if (!(std::abs(config.error_value) <= kRewardMax)) return bad_config(config, "error_value is not a finite number");
  if (!(std::abs(config.weight) <= kRewardMax)) return bad_config(config, "weight is not a finite number");
  return ok_status();
}

Result<std::unique_ptr<RewardNode>> make_sum(const RewardConfig& config, const Clock& clock) {
  if (config.parts.empty()) return bad_config(config, "a sum needs 'parts', which are rewards with a weight each");
  std::vector<SumNode::Part> parts;
  std::set<std::string> names;
  for (const RewardConfig& part : config.parts) {
    if (!names.insert(reward_name(part)).second) {
      return bad_config(config, "two parts are called '" + reward_name(part) + "'; give them a 'name' each");
    }
    auto node = make_reward_node(part, clock);
    if (!node) return node.error().with_context("part of reward '" + reward_name(config) + "'");
    parts.push_back({reward_name(part), part.weight, std::move(*node)});
  }
  return std::unique_ptr<RewardNode>(std::make_unique<SumNode>(reward_name(config), std::move(parts)));
}

}  // namespace

std::string reward_name(const RewardConfig& config) { return config.name.empty() ? config.type : config.name; }

std::vector<RewardTypeInfo> reward_table() {
  std::vector<RewardTypeInfo> table;
  for (const RewardRow& row : reward_rows())
    table.push_back({std::string(row.type), std::string(row.summary), row.fields});
  return table;
}

std::vector<std::string> reward_types() {
  std::vector<std::string> types;
  for (const RewardRow& row : reward_rows()) types.emplace_back(row.type);
  return types;
}

Result<std::unique_ptr<RewardNode>> make_reward_node(const RewardConfig& config, const Clock& clock) {
  const RewardRow* row = nullptr;
  for (const RewardRow& candidate : reward_rows()) {
    if (candidate.type == config.type) row = &candidate;
  }
  if (row == nullptr) return bad_config(config, unknown_name_message("type", config.type, reward_types()));
  JIGSAW_RETURN_IF_ERROR(check_common(config, *row));
  if (row->type == kSum) return make_sum(config, clock);
  if (row->type == kCommand) return make_command_node(config, clock);
  auto scorer = row->make(config);
  if (!scorer) return scorer.error().with_context("reward '" + reward_name(config) + "'");
  return std::unique_ptr<RewardNode>(std::make_unique<InstantNode>(config, std::move(*scorer)));
}

Result<std::unique_ptr<Reward>> make_reward(const RewardConfig& config, const Clock& clock) {
  JIGSAW_ASSIGN_OR_RETURN(auto root, make_reward_node(config, clock));
  return std::unique_ptr<Reward>(std::make_unique<PolledReward>(reward_name(config), std::move(root), clock));
}

}  // namespace jigsaw
