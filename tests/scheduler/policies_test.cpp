#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "scheduler/policy.h"

namespace jigsaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Clock::TimePoint kNow{};

PipelineSpec spec_of(double weight = 1, int steps = 2) {
  PipelineSpec spec;
  spec.name = "p";
  spec.steps = steps;
  spec.prompts_per_step = 4;
  spec.weight = weight;
  return spec;
}

Plan plan_of(std::vector<PipelineSpec> specs, int num_workers) {
  const std::vector<std::int64_t> first_steps(specs.size(), 1);
  return Plan(std::move(specs), first_steps, num_workers);
}

std::vector<std::string> names(const Plan& plan, const Decision& decision) {
  std::vector<std::string> names;
  for (const DispatchChoice& choice : decision.start) {
    names.push_back("p" + std::to_string(choice.node.pipeline) + " " + to_string(plan.node(choice.node)));
  }
  return names;
}

void start_all(Plan& plan, const Decision& decision) {
  for (const DispatchChoice& choice : decision.start) plan.start(choice.node, choice.share, kNow);
}

void finish_all(Plan& plan) {
  while (!plan.running().empty()) plan.finish(*plan.running().begin(), kNow);
  for (int pipeline = 0; pipeline < plan.num_pipelines(); ++pipeline) {
    if (plan.step_finished(pipeline)) plan.advance(pipeline, kNow);
  }
}

TEST(PoliciesTest, GreedyStartsAllThatIsReadyByWeight) {
  const Plan plan = plan_of({spec_of(1), spec_of(3)}, 1);
  const Decision decision = (*make_policy("greedy"))->choose(plan, {1}, kNow);
  EXPECT_THAT(names(plan, decision), ElementsAre("p0 prefill@1", "p1 prefill@1"));
  EXPECT_EQ(decision.start[1].share, 3);
}

TEST(PoliciesTest, GreedyKeepsToTheMemoryOfAWorker) {
  PipelineSpec spec = spec_of();
  spec.memory = {.resident = 10, .rollout = 50, .training = 60};
  const Plan plan = plan_of({spec, spec}, 1);
  Capacity capacity{.num_workers = 1};
  capacity.memory = MemoryLedger({spec.memory, spec.memory}, 119);
  EXPECT_THAT(names(plan, (*make_policy("greedy"))->choose(plan, capacity, kNow)), ElementsAre("p0 prefill@1"));
  capacity.memory = MemoryLedger({spec.memory, spec.memory}, 120);
  EXPECT_EQ((*make_policy("greedy"))->choose(plan, capacity, kNow).start.size(), 2u);
}

TEST(PoliciesTest, SerialLetsAStepEndBeforeAnotherPipelineBegins) {
  Plan plan = plan_of({spec_of(), spec_of()}, 1);
  const auto policy = *make_policy("serial");
  for (const int expected : {0, 0, 1, 1}) {  // rollout and update of each
    const Decision decision = policy->choose(plan, {1}, kNow);
    ASSERT_EQ(decision.start.size(), 1u);
    EXPECT_EQ(decision.start[0].node.pipeline, expected);
    start_all(plan, decision);
    EXPECT_THAT(policy->choose(plan, {1}, kNow).start, IsEmpty());
    finish_all(plan);
  }
}

TEST(PoliciesTest, RoundRobinGivesAWorkerToOnePhaseAtATime) {
  Plan plan = plan_of({spec_of(), spec_of()}, 2);
  const auto policy = *make_policy("round_robin");
  start_all(plan, policy->choose(plan, {2}, kNow));
  EXPECT_EQ(plan.running().size(), 2u);
  for (const NodeRef ref : plan.running()) EXPECT_EQ(ref.pipeline, 0);
  EXPECT_THAT(policy->choose(plan, {2}, kNow).start, IsEmpty());
  // Worker 1 is through with pipeline 0's rollout: pipeline 1 takes the turn there, while worker 2 goes on.
  while (!plan.running_on(1).empty()) plan.finish(plan.running_on(1)[0], kNow);
  EXPECT_THAT(names(plan, policy->choose(plan, {2}, kNow)), ElementsAre("p1 prefill@1"));
}

TEST(PoliciesTest, RolloutSharingLeavesTrainingTheWorker) {
  Plan plan = plan_of({spec_of(), spec_of()}, 1);
  const auto policy = *make_policy("rollout_sharing");
  start_all(plan, policy->choose(plan, {1}, kNow));
  EXPECT_EQ(plan.running().size(), 2u);
  while (!plan.running().empty() && plan.running().begin()->pipeline == 0) plan.finish(*plan.running().begin(), kNow);
  // Pipeline 0's update has to wait for the rollout that shares its worker.
  EXPECT_THAT(policy->choose(plan, {1}, kNow).start, IsEmpty());
  while (!plan.running().empty()) plan.finish(*plan.running().begin(), kNow);
  EXPECT_THAT(names(plan, policy->choose(plan, {1}, kNow)), ElementsAre("p0 update#0@1"));
}

TEST(PoliciesTest, AnUnknownNameListsTheKnownOnes) {
  const auto policy = make_policy("greedi");
  ASSERT_FALSE(policy.ok());
  EXPECT_THAT(policy.error().message(), HasSubstr("did you mean 'greedy'?"));
  EXPECT_THAT(policy.error().message(), HasSubstr("serial"));
}

TEST(MemoryLedgerTest, RefusesWhatCanNeverRunWithTheNumbers) {
  const std::size_t gb = std::size_t{1} << 30;
  const MemoryLedger ledger({{.resident = gb, .rollout = gb, .training = 5 * gb}, {.resident = gb}}, 6 * gb);
  const Status status = ledger.admit({"small", "other"});
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message(), HasSubstr("'small' can never run"));
  EXPECT_THAT(status.error().message(), HasSubstr("2.00 GB of a worker's 6.00 GB"));
  EXPECT_THAT(status.error().message(), HasSubstr("training needs 5.00 GB"));
  EXPECT_TRUE(MemoryLedger({{.resident = gb, .rollout = gb, .training = 5 * gb}}, 6 * gb).admit({"small"}).ok());
}

// Of more nodes than any graph here has.
Forecast any_forecast(std::mt19937& random) {
  Forecast forecast;
  for (int node = 0; node < 200; ++node) {
    forecast.seconds.push_back(static_cast<double>(random() % 5));
    forecast.samples.push_back({forecast.seconds.back()});
  }
  forecast.drifted = random() % 4 == 0;
  std::vector<Completion> completions;
  for (int i = 0; i < 5; ++i) completions.push_back({.tokens = static_cast<double>(1 + random() % 30)});
  forecast.tail.lengths = SurvivalCurve(completions);
  forecast.tail.cost.decode = {{1, 0.1}, {101, 0.1 + 0.01 * static_cast<double>(random() % 10)}};
  return forecast;
}

// Sequences of rollouts on their way from tail to tail: each ends exactly once.
class Sequences {
 public:
  void enter(Plan& plan, NodeRef ref, int count, Clock::TimePoint now) {
    running_[ref] = count;
    begun_[{ref.pipeline, ref.step}] += count;
    plan.set_sequences(ref, {.count = count, .tokens = 3}, now);
  }
  void begin_merge(Plan& plan, const MergeChoice& choice) {
    ASSERT_TRUE(plan.can_merge(choice.from, choice.to));
    plan.begin_merge(choice.from, choice.to);
    into_[choice.from] = choice.to;
    ++num_merges_;
  }
  // A worker that others are on their way to does not end.
  bool may_end(NodeRef ref) const {
    return std::none_of(into_.begin(), into_.end(), [&](const auto& merge) { return merge.second == ref; });
  }
  // Before the plan is told.
  void end(NodeRef ref) {
    const auto count = running_.find(ref);
    if (count == running_.end()) return;
    if (const auto into = into_.find(ref); into != into_.end()) {
      running_.at(into->second) += count->second;
      into_.erase(into);
    } else {
      ended_[{ref.pipeline, ref.step}] += count->second;
    }
    running_.erase(count);
  }
  void check(const Plan& plan, Clock::TimePoint now) const {
    for (const auto& [ref, count] : running_) {
      ASSERT_EQ(plan.state(ref), NodeState::kRunning);
      ASSERT_EQ(plan.sequences(ref, now)->running.count, count);
    }
  }
  bool all_ended(int pipeline, std::int64_t step) const {
    const auto begun = begun_.find({pipeline, step});
    return begun == begun_.end() || ended_.at({pipeline, step}) == begun->second;
  }
  int num_merges() const { return num_merges_; }

 private:
  std::map<NodeRef, int> running_;  // by tail
  std::map<NodeRef, NodeRef> into_;
  std::map<std::pair<int, std::int64_t>, int> begun_, ended_;
  int num_merges_ = 0;
};

// Every policy takes every job to its end, whatever the order in which sub-stages end: updates end together only, as
// those that wait for each other do. A policy that lets two pipelines' updates block each other stops here.
class EveryPolicyTest : public testing::TestWithParam<std::string> {};

TEST_P(EveryPolicyTest, EndsEveryJobWithinItsBounds) {
  std::mt19937 random(7);
  int num_merges = 0;
  for (int round = 0; round < 200; ++round) {
    const auto draw = [&](int from, int to) {
      return from + static_cast<int>(random() % static_cast<unsigned>(to - from + 1));
    };
    std::vector<PipelineSpec> specs;
    std::vector<MemoryNeeds> needs;
    for (int pipeline = draw(1, 4); pipeline > 0; --pipeline) {
      PipelineSpec spec = spec_of(1, draw(1, 5));
      spec.prompts_per_step = draw(1, 5);
      spec.updates_per_step = draw(1, spec.prompts_per_step);
      spec.needs_reference = draw(0, 1) == 1;
      spec.staleness = draw(0, 3);
      spec.turns = draw(1, 2);
      spec.checkpoint_every = draw(0, 2);
      spec.memory = {.resident = 1,
                     .rollout = static_cast<std::size_t>(draw(1, 9)),
                     .training = static_cast<std::size_t>(draw(1, 9))};
      needs.push_back(spec.memory);
      specs.push_back(spec);
    }
    Capacity capacity{.num_workers = draw(1, 3), .corun_max = draw(1, 3)};
    capacity.memory =
        MemoryLedger(needs, static_cast<std::size_t>(needs.size()) + static_cast<std::size_t>(draw(9, 20)));
    capacity.can_merge = draw(0, 2) > 0;
    capacity.merge_s = 0.01;
    Plan plan = plan_of(specs, capacity.num_workers);
    const auto policy = *make_policy(GetParam());
    Sequences sequences;
    std::set<NodeRef> computed;  // updates that wait for the others of their layer
    Clock::TimePoint now = kNow;
    while (!plan.all_done()) {
      now += std::chrono::seconds(1);
      const Decision decision = policy->choose(plan, capacity, now);
      ASSERT_TRUE(capacity.can_merge || decision.merge.empty());
      for (const DispatchChoice& choice : decision.start) plan.start(choice.node, choice.share, now);
      for (const MergeChoice& choice : decision.merge) sequences.begin_merge(plan, choice);
      sequences.check(plan, now);
      for (int worker = 1; worker <= capacity.num_workers; ++worker) {
        ASSERT_LE(capacity.memory.bytes_used(plan, worker), capacity.memory.limit());
      }
      std::vector<NodeRef> can_end;
      for (const NodeRef ref : plan.running()) {
        if (!computed.contains(ref) && sequences.may_end(ref)) can_end.push_back(ref);
      }
      ASSERT_FALSE(can_end.empty()) << "round " << round << ": " << plan.waiting_for(0) << " blocks";
      const NodeRef ref = can_end[static_cast<std::size_t>(draw(0, static_cast<int>(can_end.size()) - 1))];
      if (plan.node(ref).kind != SubStageKind::kUpdate) {
        sequences.end(ref);
        plan.finish(ref, now);
        const NodeRef next{ref.pipeline, ref.step, ref.node + 1};
        const bool goes_on = plan.window(ref.pipeline).graph(ref.step).continues_after(ref.node);
        if (goes_on && plan.node(next).kind == SubStageKind::kDecodeTail &&
            plan.node(next).turn + 1 == plan.spec(ref.pipeline).turns) {
          sequences.enter(plan, next, draw(1, 3), now);
        }
      } else {
        ASSERT_TRUE(sequences.all_ended(ref.pipeline, ref.step));
        computed.insert(ref);
        std::vector<NodeRef> layer;
        for (const NodeRef other : plan.running()) {
          if (other.pipeline == ref.pipeline && plan.node(other).update == plan.node(ref).update &&
              plan.node(other).kind == SubStageKind::kUpdate && computed.contains(other))
            layer.push_back(other);
        }
        if (static_cast<int>(layer.size()) == capacity.num_workers) {
          for (const NodeRef other : layer) {
            computed.erase(other);
            plan.finish(other, now);
          }
        }
      }
      if (plan.step_finished(ref.pipeline)) {
        plan.advance(ref.pipeline, now);
        plan.set_forecast(ref.pipeline, any_forecast(random));
      }
    }
    num_merges += sequences.num_merges();
  }
  EXPECT_EQ(num_merges > 0, GetParam() == "lookahead" || GetParam() == "greedy_merge") << num_merges;
}

INSTANTIATE_TEST_SUITE_P(All, EveryPolicyTest, testing::ValuesIn(policy_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace jigsaw
