// The look-ahead beside the best schedule there is: on small random jobs every way to start, hold (alike on all
// workers) and merge is tried.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <tuple>

#include "scheduler/policies/admission.h"
#include "scheduler/policies/merge_candidates.h"
#include "scheduler/simulator/simulator.h"

namespace jigsaw {
namespace {

// Takes the decisions that a script says, and the first possible ones after its end.
class Script {
 public:
  void begin() { position_ = 0; }
  std::size_t choose(std::size_t num_options) {
    if (position_ == choices_.size()) choices_.push_back({0, num_options});
    return choices_[position_++].taken;
  }
  // The next script; false after the last one.
  bool advance() {
    choices_.resize(position_);
    while (!choices_.empty() && choices_.back().taken + 1 >= choices_.back().options) choices_.pop_back();
    if (choices_.empty()) return false;
    ++choices_.back().taken;
    return true;
  }

 private:
  struct Choice {
    std::size_t taken, options;
  };
  std::vector<Choice> choices_;
  std::size_t position_ = 0;
};

class ScriptedPolicy : public Policy {
 public:
  // starts_greedily: as the look-ahead does before there is anything to predict from.
  ScriptedPolicy(Script& script, bool starts_greedily) : script_(script), starts_greedily_(starts_greedily) {}
  std::string_view name() const override { return "scripted"; }
  Decision choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) const override {
    if (starts_greedily_ && (plan.forecast(0).empty() || plan.forecast(1).empty()) && !plan.done(0) && !plan.done(1))
      return (*make_policy("greedy"))->choose(plan, capacity, now);
    Decision decision;
    Admission admission(plan, capacity, capacity.corun_max);
    std::map<std::tuple<int, std::int64_t, SubStageKind>, bool> waits;  // alike on all workers
    for (const NodeRef ref : all_ready_in_order(plan)) {
      if (!admission.can_start(ref)) continue;
      const bool can_wait = admission.num_computing(plan.node(ref).worker) > 0 && !is_of_open_gang(plan, ref);
      if (can_wait) {
        const auto [entry, is_new] = waits.try_emplace({ref.pipeline, ref.step, plan.node(ref).kind});
        if (is_new) entry->second = script_.choose(2) == 1;
        if (entry->second) continue;
      }
      admission.add(ref);
      decision.start.push_back({.node = ref, .share = 1, .reason = "by the script"});
    }
    if (!capacity.can_merge) return decision;
    const auto candidates = merge_candidates(plan, now, [](int) { return true; });
    if (candidates.empty()) return decision;
    if (const std::size_t taken = script_.choose(candidates.size() + 1); taken > 0) {
      for (const auto& [from, to] : candidates[taken - 1].merges) {
        decision.merge.push_back({.from = from, .to = to, .reason = "by the script"});
      }
    }
    return decision;
  }

 private:
  Script& script_;
  const bool starts_greedily_;
};

// The same in every step.
class RandomDurations : public SimulatedDurations {
 public:
  RandomDurations(std::mt19937& random, int num_workers) {
    const auto draw = [&](int from, int to) {
      return from + static_cast<int>(random() % static_cast<unsigned>(to - from + 1));
    };
    cost_.decode = {{1, 1}, {11, 1 + 10 * 0.1 * draw(0, 5)}};
    update_s_ = draw(1, 8);
    reward_s_ = draw(0, 1) * draw(1, 6);
    for (int worker = 0; worker < num_workers; ++worker) {
      std::vector<TailSequence> sequences;
      sequences.push_back({.left = static_cast<double>(draw(1, 12))});
      tails_.emplace_back(std::move(sequences), cost_, 1);
    }
  }
  double seconds(std::int64_t, const Node& node) override {
    switch (node.kind) {
      case SubStageKind::kDecodeTail: return of(node.worker).total_s();
      case SubStageKind::kReward: return reward_s_;
      case SubStageKind::kUpdate: return update_s_;
      default: return 0;
    }
  }
  double tokens(std::int64_t) override { return 1; }
  std::optional<SimulatedTail> tail(std::int64_t, const Node& node) override { return of(node.worker); }
  std::vector<Completion> completions(std::int64_t, int worker) override {
    std::vector<Completion> completions;
    for (const TailSequence& sequence : of(worker).after(0)) completions.push_back({sequence.left, 0, false});
    return completions;
  }
  const ModelCost& cost() const { return cost_; }

 private:
  const SimulatedTail& of(int worker) const { return tails_[static_cast<std::size_t>(worker) - 1]; }

  ModelCost cost_;
  double update_s_ = 0, reward_s_ = 0;
  std::vector<SimulatedTail> tails_;
};

RunSummary run(const std::vector<SimulatedPipeline>& pipelines, const Policy& policy, const Capacity& capacity) {
  const Result<RunSummary> summary = simulate(pipelines, policy, capacity, {}, {1, 1});
  CHECK_MSG(summary.ok(), summary.error().message());
  return *summary;
}

struct Comparison {
  double mean_ratio = 0, worst_ratio = 0;
  int jobs = 0;
  std::int64_t schedules = 0, merges = 0;
};

// lookahead / optimum over random jobs of two pipelines; where tails can merge, from the end of the first steps on.
Comparison compare(int num_workers, int steps, bool can_merge, int num_jobs, std::int64_t schedules_max) {
  Comparison comparison;
  std::mt19937 random(17);
  for (int job = 0; job < num_jobs; ++job) {
    std::vector<SimulatedPipeline> pair;
    for (const char* name : {"a", "b"}) {
      SimulatedPipeline& pipeline = pair.emplace_back();
      const auto durations = std::make_shared<RandomDurations>(random, num_workers);
      pipeline.spec.name = name;
      pipeline.spec.steps = steps;
      pipeline.spec.prompts_per_step = num_workers;
      pipeline.durations = durations;
      pipeline.cost = durations->cost();
    }
    Capacity capacity{.num_workers = num_workers};
    capacity.splits = {0.5};
    capacity.can_merge = can_merge;
    const auto factor = [&] { return 1 + 0.1 * static_cast<double>(random() % 15); };
    using enum SubStageKind;
    for (const auto& [first, second] :
         {std::pair{kDecodeTail, kDecodeTail}, {kDecodeTail, kUpdate}, {kUpdate, kUpdate}})
      capacity.slowdown.set(first, second, 0.5, {factor(), factor()});
    Script script;
    const ScriptedPolicy scripted(script, can_merge);
    double best_s = std::numeric_limits<double>::infinity();
    std::int64_t schedules = 0;
    bool is_complete = false;
    while (!is_complete && schedules < schedules_max) {
      script.begin();
      best_s = std::min(best_s, run(pair, scripted, capacity).wall_s);
      ++schedules;
      is_complete = !script.advance();
    }
    comparison.schedules += schedules;
    EXPECT_TRUE(is_complete) << "job " << job << " has more schedules than " << schedules_max;
    const RunSummary lookahead = run(pair, **make_policy("lookahead"), capacity);
    const double ratio = lookahead.wall_s / best_s;
    EXPECT_GT(ratio, 1 - 1e-9) << "job " << job << ": not all schedules were tried";
    comparison.merges += lookahead.migrations;
    comparison.mean_ratio += ratio / num_jobs;
    comparison.worst_ratio = std::max(comparison.worst_ratio, ratio);
    ++comparison.jobs;
  }
  return comparison;
}

TEST(OptimumTest, LookaheadIsWithinFivePercentOnAverage) {
  const Comparison found = compare(1, 3, false, 20, 20000);
  EXPECT_LT(found.mean_ratio, 1.05) << "worst " << found.worst_ratio;
  EXPECT_GT(found.schedules, 1000);
  std::printf("1 worker: mean %.4f worst %.4f of %d jobs, %ld schedules\n", found.mean_ratio, found.worst_ratio,
              found.jobs, static_cast<long>(found.schedules));
}

TEST(OptimumTest, AlsoWhereTailsMerge) {
  const Comparison found = compare(2, 2, true, 30, 20000);
  EXPECT_LT(found.mean_ratio, 1.05) << "worst " << found.worst_ratio;
  EXPECT_GT(found.schedules, 1000);
  EXPECT_GT(found.merges, 0);
  std::printf("2 workers: mean %.4f worst %.4f of %d jobs, %ld schedules, %ld merges\n", found.mean_ratio,
              found.worst_ratio, found.jobs, static_cast<long>(found.schedules), static_cast<long>(found.merges));
}

}  // namespace
}  // namespace jigsaw
