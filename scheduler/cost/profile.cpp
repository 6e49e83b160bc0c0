#include "scheduler/cost/profile.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <span>

#include "core/config/yaml_section.h"
#include "core/files.h"
#include "core/nearest_name.h"

namespace jigsaw {
namespace {

constexpr std::uint64_t kProfileBytesMax = std::uint64_t{1} << 20;
constexpr double kSecondsMax = 1e7;
constexpr double kTokensMax = 1e9;
constexpr std::size_t kLengthsMax = 4096;

std::vector<std::string> busy_kind_names() {
  std::vector<std::string> names;
  for (int i = 0; i < kNumSubStageKinds; ++i) {
    if (const auto kind = static_cast<SubStageKind>(i); !is_wait(kind)) names.emplace_back(to_string(kind));
  }
  return names;
}

// ---- reading

void require_all(YamlSection& section, std::initializer_list<const char*> keys) {
  for (const char* key : keys) section.require(key);
}

// Puts the numbers under `key` into `values`, which says how many there have to be.
void read_numbers(YamlSection& section, const std::string& key, std::span<double> values, double min, double max) {
  if (!section.has(key)) return;
  std::vector<double> read(values.begin(), values.end());
  section.read(key, read, min, max);
  if (read.size() == values.size())
    std::copy(read.begin(), read.end(), values.begin());
  else
    section.add_error(key,
                      "expected " + std::to_string(values.size()) + " numbers, found " + std::to_string(read.size()));
}

void read_name(YamlSection& section, std::string& name, std::set<std::string>& taken) {
  section.require("name");
  section.read("name", name);
  if (!name.empty() && !taken.insert(name).second) section.add_error("name", "'" + name + "' is there twice");
}

void read_decode(YamlSection section, ModelCost& model) {
  std::vector<double> batches, seconds;
  require_all(section, {"batch", "pass_s"});
  section.read("batch", batches, 1, kTokensMax);
  section.read("pass_s", seconds, 0, kSecondsMax);
  section.read("context_token_s", model.context_token_s, 0, kSecondsMax);
  section.read("context_from", model.context_from, 0, kTokensMax);
  section.finish();
  if (batches.size() != seconds.size()) {
    section.add_error("pass_s", "expected a number for each of the " + std::to_string(batches.size()) +
                                    " batches, found " + std::to_string(seconds.size()));
    return;
  }
  for (std::size_t i = 0; i < batches.size(); ++i) {
    if (i > 0 && batches[i] <= batches[i - 1]) section.add_error("batch", "batches have to ascend");
    model.decode.push_back({batches[i], seconds[i]});
  }
  if (model.decode.empty()) section.add_error("batch", "needs at least one batch");
}

ModelCost read_model(YamlSection& section, std::set<std::string>& taken) {
  ModelCost model;
  read_name(section, model.name, taken);
  require_all(section, {"decode", "prefill"});
  if (YamlSection decode = section.section("decode"); section.is_map("decode")) read_decode(decode, model);
  YamlSection prefill = section.section("prefill");
  prefill.read("token_s", model.prefill_token_s, 0, kSecondsMax);
  prefill.read("pass_s", model.prefill_pass_s, 0, kSecondsMax);
  prefill.finish();
  YamlSection training = section.section("training");
  training.read("logprob_token_s", model.logprob_token_s, 0, kSecondsMax);
  training.read("update_token_s", model.update_token_s, 0, kSecondsMax);
  training.read("optimizer_s", model.optimizer_s, 0, kSecondsMax);
  training.finish();
  section.finish();
  return model;
}

WorkloadFacts read_workload(YamlSection& section, std::set<std::string>& taken,
                            const std::vector<std::string>& model_names) {
  WorkloadFacts facts;
  read_name(section, facts.name, taken);
  require_all(section, {"model", "rollout_s", "update_s", "prompt_tokens", "total_quantiles", "response_max"});
  section.read_choice("model", facts.model, model_names);
  section.read("prompts_per_step", facts.prompts_per_step, 1, 1 << 20);
  section.read("group_size", facts.group_size, 1, 1 << 10);
  section.read("rollout_s", facts.rollout_s, 0, kSecondsMax);
  section.read("reward_s", facts.reward_s, 0, kSecondsMax);
  section.read("old_logprob_s", facts.old_logprob_s, 0, kSecondsMax);
  section.read("ref_logprob_s", facts.ref_logprob_s, 0, kSecondsMax);
  section.read("update_s", facts.update_s, 0, kSecondsMax);
  section.read("sync_s", facts.sync_s, 0, kSecondsMax);
  section.read("prompt_tokens", facts.prompt_tokens, 1, kTokensMax);
  section.read("response_tokens", facts.response_tokens, 0, kTokensMax);
  read_numbers(section, "total_quantiles", facts.total_quantiles, 1, kTokensMax);
  section.read("response_max", facts.response_max, 1, 1 << 30);
  section.read("response_lengths", facts.response_lengths, 1, kTokensMax);
  section.read("turns", facts.turns, 0, 1);
  read_numbers(section, "tool_s", facts.tool_s, 0, kSecondsMax);
  section.read("tool_tokens", facts.tool_tokens, 0, kTokensMax);
  section.read("engine_overhead", facts.engine_overhead, 1e-3, 1e6);
  section.read("tail_time_share", facts.tail_time_share, 0, 1);
  section.finish();
  const auto& total = facts.total_quantiles;
  if (!std::is_sorted(total.begin(), total.end()) || total[0] <= facts.prompt_tokens) {
    section.add_error("total_quantiles", "p50, p90 and p99 have to ascend, and to be longer than the prompt");
  }
  const std::vector<double>& lengths = facts.response_lengths;
  if (lengths.size() > kLengthsMax || !std::is_sorted(lengths.begin(), lengths.end()) ||
      (!lengths.empty() && lengths.back() > facts.response_max)) {
    section.add_error("response_lengths",
                      "expected at most " + std::to_string(kLengthsMax) + " that ascend, none above response_max");
  }
  if (facts.turns.empty() || facts.turns.size() > 16 || facts.turns.back() == 0) {
    section.add_error("turns", "expected the shares of samples with 1, 2, .. turns, at most 16, the last above 0");
  }
  if (facts.tool_s[0] > facts.tool_s[1]) section.add_error("tool_s", "expected [least, most]");
  if (facts.has_tools() && facts.turns.size() < 2) {
    section.add_error("turns", "a workload with tool_s needs two turns or more");
  }
  if (facts.tool_tokens > 0 && !facts.has_tools()) section.add_error("tool_tokens", "needs tool_s");
  if (facts.tool_tokens * static_cast<double>(facts.turns.size()) >= facts.response_max) {
    section.add_error("tool_tokens", "leaves no room below response_max");
  }
  return facts;
}

SlowdownModel read_slowdown_model(YamlSection section) {
  SlowdownModel model;
  section.read("corun_overhead", model.corun_overhead, 0, 100);
  YamlSection kinds = section.section("kinds");
  for (const std::string& name : busy_kind_names()) {
    YamlSection kind = kinds.section(name);
    if (!kinds.has(name)) continue;
    SlowdownModel::Use use;
    require_all(kind, {"saturates_at", "bandwidth"});
    kind.read("saturates_at", use.saturates_at, 0.01, 1);
    kind.read("bandwidth", use.bandwidth, 0, 1);
    kind.finish();
    model.kinds[*sub_stage_kind(name)] = use;
  }
  kinds.finish();
  section.finish();
  return model;
}

SlowdownTable::Row read_row(YamlSection& section) {
  std::string first, second;
  double share = 0.5;
  std::array<double, 2> factors = {1, 1};
  require_all(section, {"first", "second", "share", "factors"});
  section.read_choice("first", first, busy_kind_names());
  section.read_choice("second", second, busy_kind_names());
  section.read("share", share, 0.001, 0.999);
  read_numbers(section, "factors", factors, 0.01, 1e6);
  section.finish();
  return {sub_stage_kind(first).value_or(SubStageKind::kUpdate),
          sub_stage_kind(second).value_or(SubStageKind::kUpdate),
          share,
          {factors[0], factors[1]}};
}

// ---- writing

std::string number(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;  // the shortest that reads back the same
  return {text, end};
}

template <typename Numbers>
std::string number_list(const Numbers& values) {
  std::string text = "[";
  for (const double value : values) text += (text.size() > 1 ? ", " : "") + number(value);
  return text + "]";
}

std::string yaml_string(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': result += "\\\""; break;
      case '\\': result += "\\\\"; break;
      case '\n': result += "\\n"; break;
      case '\t': result += "\\t"; break;
      case '\r': result += "\\r"; break;
      default: result += c;
    }
  }
  return result + "\"";
}

std::string to_yaml(const ModelCost& model) {
  std::vector<double> batches, seconds;
  for (const auto& point : model.decode) {
    batches.push_back(point.batch);
    seconds.push_back(point.seconds);
  }
  std::string text = "- name: " + yaml_string(model.name) + "\n";
  text += "  decode: {batch: " + number_list(batches) + ", pass_s: " + number_list(seconds) +
          ", context_token_s: " + number(model.context_token_s) + ", context_from: " + number(model.context_from) +
          "}\n";
  text += "  prefill: {token_s: " + number(model.prefill_token_s) + ", pass_s: " + number(model.prefill_pass_s) + "}\n";
  text += "  training: {logprob_token_s: " + number(model.logprob_token_s) +
          ", update_token_s: " + number(model.update_token_s) + ", optimizer_s: " + number(model.optimizer_s) + "}\n";
  return text;
}

std::string to_yaml(const WorkloadFacts& facts) {
  std::string text = "- name: " + yaml_string(facts.name) + "\n";
  const auto line = [&](const char* key, const std::string& value) {
    text += std::string("  ") + key + ": " + value + "\n";
  };
  line("model", yaml_string(facts.model));
  line("prompts_per_step", std::to_string(facts.prompts_per_step));
  line("group_size", std::to_string(facts.group_size));
  line("rollout_s", number(facts.rollout_s));
  line("reward_s", number(facts.reward_s));
  line("old_logprob_s", number(facts.old_logprob_s));
  line("ref_logprob_s", number(facts.ref_logprob_s));
  line("update_s", number(facts.update_s));
  line("sync_s", number(facts.sync_s));
  line("prompt_tokens", number(facts.prompt_tokens));
  line("response_tokens", number(facts.response_tokens));
  line("total_quantiles", number_list(facts.total_quantiles));
  line("response_max", std::to_string(facts.response_max));
  if (!facts.response_lengths.empty()) line("response_lengths", number_list(facts.response_lengths));
  line("turns", number_list(facts.turns));
  line("tool_s", number_list(facts.tool_s));
  line("tool_tokens", number(facts.tool_tokens));
  line("engine_overhead", number(facts.engine_overhead));
  line("tail_time_share", number(facts.tail_time_share));
  return text;
}

template <typename Item>
Result<const Item*> find_named(const std::vector<Item>& items, std::string_view name, std::string_view what,
                               const std::string& profile) {
  std::vector<std::string> names;
  for (const Item& item : items) {
    if (item.name == name) return &item;
    names.push_back(item.name);
  }
  return Error(ErrorCode::kNotFound, "profile " + profile + ": " + unknown_name_message(what, name, names));
}

}  // namespace

std::string_view to_string(ProfileKind kind) { return kind == ProfileKind::kMeasured ? "measured" : "simulated"; }

Result<Profile> Profile::parse(const std::string& text, const std::string& name) {
  JIGSAW_ASSIGN_OR_RETURN(YamlSection yaml, YamlSection::parse(text, name));
  Profile profile;
  require_all(yaml, {"name", "kind", "source", "models"});
  yaml.read("name", profile.name);
  std::string kind(to_string(profile.kind));
  yaml.read_choice("kind", kind, {"measured", "simulated"});
  profile.kind = kind == "measured" ? ProfileKind::kMeasured : ProfileKind::kSimulated;
  yaml.read("source", profile.source);
  YamlSection bins = yaml.section("bins");
  bins.read("tail_below", profile.bins.tail_below, 1);
  bins.read("wide_from", profile.bins.wide_from, 1);
  bins.finish();
  if (profile.bins.wide_from < profile.bins.tail_below) bins.add_error("wide_from", "is below tail_below");

  std::set<std::string> taken;
  std::vector<std::string> model_names;
  for (YamlSection& section : yaml.list("models")) {
    profile.models.push_back(read_model(section, taken));
    model_names.push_back(profile.models.back().name);
  }
  taken.clear();
  for (YamlSection& section : yaml.list("workloads")) {
    profile.workloads.push_back(read_workload(section, taken, model_names));
  }
  profile.slowdown_model = read_slowdown_model(yaml.section("slowdown_model"));
  for (YamlSection& section : yaml.list("slowdown")) profile.slowdown_rows.push_back(read_row(section));
  yaml.finish();
  if (const std::string errors = yaml.errors(); !errors.empty()) {
    return Error(ErrorCode::kInvalidArgument, errors);
  }
  return profile;
}

Result<Profile> Profile::load(const std::filesystem::path& file) {
  JIGSAW_ASSIGN_OR_RETURN(const std::string text, read_text_file(file, kProfileBytesMax));
  return parse(text, file.string());
}

std::string Profile::to_yaml() const {
  std::string text = "name: " + yaml_string(name) + "\nkind: " + std::string(to_string(kind)) +
                     "\nsource: " + yaml_string(source) + "\n";
  text += "bins: {tail_below: " + std::to_string(bins.tail_below) + ", wide_from: " + std::to_string(bins.wide_from) +
          "}\n";
  const auto list = [&](const char* key, const auto& items, const auto& item_text) {
    text += key + std::string(items.empty() ? ": []\n" : ":\n");
    for (const auto& item : items) text += item_text(item);
  };
  list("models", models, [](const ModelCost& model) { return jigsaw::to_yaml(model); });
  list("workloads", workloads, [](const WorkloadFacts& facts) { return jigsaw::to_yaml(facts); });
  text += "slowdown_model:\n  corun_overhead: " + number(slowdown_model.corun_overhead) +
          "\n  kinds:" + (slowdown_model.kinds.empty() ? " {}\n" : "\n");
  for (const auto& [kind, use] : slowdown_model.kinds) {
    text += "    " + std::string(to_string(kind)) + ": {saturates_at: " + number(use.saturates_at) +
            ", bandwidth: " + number(use.bandwidth) + "}\n";
  }
  list("slowdown", slowdown_rows, [](const SlowdownTable::Row& row) {
    return "- {first: " + std::string(to_string(row.first)) + ", second: " + std::string(to_string(row.second)) +
           ", share: " + number(row.share) +
           ", factors: " + number_list(std::array{row.factors.first, row.factors.second}) + "}\n";
  });
  return text;
}

Status Profile::save(const std::filesystem::path& file) const { return write_file_atomically(file, to_yaml()); }

Result<const ModelCost*> Profile::model(std::string_view model_name) const {
  return find_named(models, model_name, "model", name);
}

Result<const WorkloadFacts*> Profile::workload(std::string_view workload_name) const {
  return find_named(workloads, workload_name, "workload", name);
}

SlowdownTable Profile::slowdown_table() const {
  SlowdownTable table = slowdown_model.table();
  for (const auto& row : slowdown_rows) table.set(row.first, row.second, row.share, row.factors);
  return table;
}

}  // namespace jigsaw
