// What is known of the speed of a kind of machine, as one YAML file: measured by `jigsaw profile`, or put together from
// published figures, so that all that rests on it is simulated. Plain values; configs/profiles has one of the latter.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "graph/sub_stage_kind.h"
#include "scheduler/cost/model_cost.h"
#include "scheduler/cost/slowdown_model.h"
#include "scheduler/cost/slowdown_table.h"

namespace jigsaw {

// A pipeline's steps as they were seen on one worker that had all samples, for the simulator to draw others like them.
// Seconds are a step's, tokens a sample's.
struct WorkloadFacts {
  std::string name;
  std::string model;  // of the same profile
  int prompts_per_step = 256;
  int group_size = 4;
  double rollout_s = 0;  // with tools, to the last completion
  double reward_s = 0;   // from there to the last reward
  double old_logprob_s = 0;
  double ref_logprob_s = 0;
  double update_s = 0;
  double sync_s = 0;
  double prompt_tokens = 0;                 // mean
  double response_tokens = 0;               // mean; with what tools added
  std::array<double, 3> total_quantiles{};  // p50, p90, p99 of prompt + response
  int response_max = 0;                     // tokens
  // Tokens of responses, ascending, each of as many samples as any other. Where they are given, the quantiles are only
  // to read: lengths are drawn from these.
  std::vector<double> response_lengths{};
  std::vector<double> turns = {1};  // share of the samples that take 1, 2, .. turns; of any sum
  std::array<double, 2> tool_s{};   // least and most of one call for the whole step; 0 = no tools
  double tool_tokens = 0;           // that a call adds to a sample's response
  double engine_overhead = 1;       // rollout as seen, less tools / sum of its passes; see simulator/workload.h
  double tail_time_share = 0;       // of the rollout as seen; 0 = unknown. To compare with only
  bool operator==(const WorkloadFacts&) const = default;

  int samples_per_step() const { return prompts_per_step * group_size; }
  bool has_tools() const { return tool_s[1] > 0; }
};

enum class ProfileKind { kMeasured, kSimulated };
std::string_view to_string(ProfileKind kind);  // "measured"

struct Profile {
  std::string name;
  ProfileKind kind = ProfileKind::kMeasured;
  std::string source;  // the machine, or where the figures come from
  TokenBins bins;
  std::vector<ModelCost> models;
  std::vector<WorkloadFacts> workloads;
  SlowdownModel slowdown_model;                   // what `slowdown_rows` does not say; empty = nothing
  std::vector<SlowdownTable::Row> slowdown_rows;  // measured

  // kInvalidArgument with all that is wrong, a line each: file, line, key. `name` stands for the file.
  static Result<Profile> parse(const std::string& text, const std::string& name);
  static Result<Profile> load(const std::filesystem::path& file);
  // Text that parse() takes back to the same profile, to the last bit of each number.
  std::string to_yaml() const;
  Status save(const std::filesystem::path& file) const;

  // kNotFound, with the nearest name. Pointers are good as long as the profile does not change.
  Result<const ModelCost*> model(std::string_view name) const;
  Result<const WorkloadFacts*> workload(std::string_view name) const;
  SlowdownTable slowdown_table() const;
};

}  // namespace jigsaw
