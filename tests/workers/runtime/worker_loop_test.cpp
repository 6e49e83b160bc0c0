// A worker as the controller sees it: real models, tiny.
#include "workers/worker_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "rollout/models/model_files.h"
#include "tests/workers/runtime/scripted_controller.h"
#include "tests/workers/trainer/temporary_folder.h"

namespace jigsaw {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint32_t kSamples = 12;
constexpr int kSlots = 2;

std::string pipeline_yaml(const std::string& name, const std::string& more = "", const std::string& lr = "1e-2") {
  return "- name: " + name + R"(
  model_config: {hidden_size: 32, num_layers: 2, num_heads: 4, num_kv_heads: 2, intermediate_size: 48}
  task: {name: sort, length_min: 2, length_max: 4, alphabet: "1234"}
  reward: {type: char_match}
  rollout: {prompts_per_step: 3, group_size: 4, max_new_tokens: 6, max_positions: 32, max_batch: 7}
)" +
         "  train: {steps: 8, lr: " + lr + ", grad_slots: 2, micro_batch_tokens: 64}\n" + more;
}

std::string job_yaml(const std::string& pipelines) {
  return "seed: 7\nbins: {tail_below: 4, wide_from: 16}\npipelines:\n" + pipelines;
}

WorkerOptions with_threads(int num_threads) {
  WorkerOptions options;
  options.num_threads = num_threads;
  return options;
}

// What decides about a run: every token and every hash.
struct Record {
  std::vector<std::string> hashes;                // by update
  std::vector<std::vector<std::int32_t>> tokens;  // of all samples, by rollout and sample
  bool operator==(const Record&) const = default;
};

class WorkerLoopTest : public testing::Test {
 protected:
  void note_rollout(const ScriptedController& controller, std::uint64_t node, Record& record) {
    ASSERT_EQ(controller.done(node).trajectories.size(), kSamples);
    for (const wire::Trajectory& trajectory : controller.done(node).trajectories) {
      record.tokens.emplace_back(trajectory.tokens().begin(), trajectory.tokens().end());
    }
  }
  void note_update(const ScriptedController& controller, std::uint64_t node, Record& record) {
    record.hashes.push_back(controller.done(node).done.update().weights_hash());
  }
  TemporaryFolder folder_;
};

// Two sync pipelines, b a phase behind a: the update of one is always beside the rollout of the other.
std::vector<Record> run_two(int num_threads, const std::string& yaml, WorkerOptions options, std::int64_t steps) {
  options.num_threads = num_threads;
  ScriptedController controller(yaml, options);
  std::vector<Record> records(2);
  std::vector<std::vector<std::uint64_t>> rollouts(2), updates(2);
  for (std::int64_t phase = 0; phase < 2 * steps + 1; ++phase) {
    std::vector<std::uint64_t> nodes;
    for (int pipeline = 0; pipeline < 2; ++pipeline) {
      const std::int64_t own = phase - pipeline;
      if (own < 0 || own >= 2 * steps) continue;
      const std::int64_t step = own / 2 + 1;
      const auto index = static_cast<std::size_t>(pipeline);
      if (own % 2 == 0) {
        nodes.push_back(controller.rollout(pipeline, step, step - 1, kSamples));
        rollouts[index].push_back(nodes.back());
      } else {
        nodes.push_back(
            controller.update(pipeline, step, step - 1, controller.done(rollouts[index].back()).trajectories, kSlots));
        updates[index].push_back(nodes.back());
      }
    }
    if (nodes.size() == 2) controller.reshare(nodes[0], phase % 3 + 1.0);
    if (!controller.wait(nodes)) {
      ADD_FAILURE() << "the worker does not go on";
      return records;
    }
  }
  for (std::size_t pipeline = 0; pipeline < 2; ++pipeline) {
    for (const std::uint64_t node : rollouts[pipeline]) {
      for (const wire::Trajectory& trajectory : controller.done(node).trajectories) {
        records[pipeline].tokens.emplace_back(trajectory.tokens().begin(), trajectory.tokens().end());
      }
    }
    for (const std::uint64_t node : updates[pipeline]) {
      records[pipeline].hashes.push_back(controller.done(node).done.update().weights_hash());
    }
  }
  return records;
}

TEST_F(WorkerLoopTest, TwoPipelinesOnTwoLanesTrainAsOnOne) {
  const std::string yaml = job_yaml(pipeline_yaml("a") + pipeline_yaml("b", "  algorithm: dapo\n"));
  const std::vector<Record> one = run_two(1, yaml, {}, 4);
  ASSERT_EQ(one[0].hashes.size(), 4u);
  EXPECT_NE(one[0].hashes[0], one[0].hashes[3]);
  for (const int num_threads : {2, 3}) {
    EXPECT_EQ(run_two(num_threads, yaml, {}, 4), one) << num_threads << " threads";
  }
}

TEST_F(WorkerLoopTest, PipelinesThatDoNotFitBesideEachOtherGiveMemoryBackAndTrainTheSame) {
  const std::string yaml = job_yaml(pipeline_yaml("a") + pipeline_yaml("b"));
  const auto job = read_job(yaml, "job.yaml");
  ASSERT_TRUE(job.ok()) << job.error().message();
  std::vector<PipelineMemory> memories;
  std::size_t total = 0;
  for (const PipelineConfig& config : job->config.pipelines) {
    const auto memory = predict_memory(config);
    ASSERT_TRUE(memory.ok()) << memory.error().message();
    memories.push_back(*memory);
    total += memory->total();
  }
  WorkerOptions options;
  options.memory_bytes_max = least_memory(job->config.pipelines, memories);
  ASSERT_LT(options.memory_bytes_max, total);
  EXPECT_EQ(run_two(2, yaml, options, 3), run_two(2, yaml, {}, 3));

  --options.memory_bytes_max;
  ScriptedController refused(yaml, options);
  refused.shut_down();
  EXPECT_THAT(refused.worker_error, HasSubstr("pipeline 'b' does not fit"));
}

TEST_F(WorkerLoopTest, ARolloutTellsItsSubStagesInOrder) {
  ScriptedController controller(job_yaml(pipeline_yaml("a")), with_threads(1));
  const auto all = controller.rollout(0, 1, 0, kSamples);
  ASSERT_TRUE(controller.wait({all}));
  const std::vector<wire::RolloutEntered>& entered = controller.done(all).entered;
  ASSERT_FALSE(entered.empty());
  std::uint32_t kind = static_cast<std::uint32_t>(SubStageKind::kPrefill);
  double busy_s = 0;
  for (const wire::RolloutEntered& next : entered) {
    EXPECT_GT(next.kind(), kind);
    EXPECT_LE(next.kind(), static_cast<std::uint32_t>(SubStageKind::kReward));
    EXPECT_GE(next.busy_s(), busy_s);
    kind = next.kind();
    busy_s = next.busy_s();
  }
  EXPECT_GE(controller.done(all).done.busy_s(), busy_s);

  const auto few = controller.rollout(0, 1, 0, 3);
  ASSERT_TRUE(controller.wait({few}));
  for (const wire::RolloutEntered& next : controller.done(few).entered) {
    EXPECT_NE(next.kind(), static_cast<std::uint32_t>(SubStageKind::kDecodeBulk));
  }
}

TEST_F(WorkerLoopTest, CancelledRolloutsEndAndTheNextOneIsWhole) {
  const std::string yaml = job_yaml(pipeline_yaml("a") + pipeline_yaml("b"));
  ScriptedController controller(yaml, with_threads(2));
  const auto undisturbed = controller.rollout(0, 1, 0, kSamples);
  ASSERT_TRUE(controller.wait({undisturbed}));
  const auto cancelled = controller.rollout(0, 1, 0, kSamples);
  const auto beside = controller.rollout(1, 1, 0, kSamples);
  controller.cancel(0);
  const auto again = controller.rollout(0, 1, 0, kSamples);
  ASSERT_TRUE(controller.wait({cancelled, beside, again}));
  Record first, second;
  note_rollout(controller, undisturbed, first);
  note_rollout(controller, again, second);
  EXPECT_EQ(first, second);
  EXPECT_EQ(controller.done(beside).trajectories.size(), kSamples);
}

TEST_F(WorkerLoopTest, ForcedLengthsAreKept) {
  std::string pipeline = pipeline_yaml("a");
  const std::string key = "max_batch: 7";
  pipeline.replace(pipeline.find(key), key.size(), key + ", forced_lengths: \"2x3,1x9\"");
  ScriptedController controller(job_yaml(pipeline), with_threads(1));
  const auto node = controller.rollout(0, 1, 0, kSamples);
  ASSERT_TRUE(controller.wait({node}));
  for (const wire::Trajectory& trajectory : controller.done(node).trajectories) {
    EXPECT_EQ(trajectory.logprobs_size(), trajectory.sample() % 3 == 2 ? 9 : 3);
    EXPECT_EQ(trajectory.tokens_size(), static_cast<int>(trajectory.prompt_length()) + trajectory.logprobs_size());
  }
}

// ---- one_step_off --------------------------------------------------------------------------------------------------

enum class Order { kBeside, kRolloutFirst, kUpdateFirst };

struct OneStepOffRun {
  Order order = Order::kBeside;
  int num_threads = 2;
  std::string lr = "1e-2";
  std::int64_t first = 1, last = 6;  // steps
  std::string resume_folder{};
  std::int64_t checkpoint_after = 0;  // a step
  std::string checkpoint_folder{};
};

class OneStepOffTest : public WorkerLoopTest {
 protected:
  // The step before `first` has been trained: with a resume, its checkpoint holds both copies.
  Record run(const OneStepOffRun& wanted) {
    Record record;
    ScriptedController controller(job_yaml(pipeline_yaml("a", "  mode: one_step_off\n", wanted.lr)),
                                  with_threads(wanted.num_threads), {wanted.resume_folder});
    std::uint64_t rollout_before = 0;
    for (std::int64_t step = wanted.first; step <= wanted.last + 1; ++step) {
      const std::int64_t rollout_version = std::max<std::int64_t>(step - 2, 0);
      std::vector<std::uint64_t> both;
      std::uint64_t rollout = 0, update = 0;
      const auto roll_out = [&] {
        if (step > wanted.last) return;
        rollout = controller.rollout(0, step, rollout_version, kSamples);
        both.push_back(rollout);
        if (wanted.order != Order::kBeside) {
          EXPECT_TRUE(controller.wait({rollout}));
        }
      };
      if (step <= wanted.last) {
        EXPECT_TRUE(controller.wait({controller.sync(0, step, rollout_version)}));
      }
      if (wanted.order != Order::kUpdateFirst) roll_out();
      if (step > wanted.first) {
        update = controller.update(0, step - 1, step - 2, controller.done(rollout_before).trajectories, kSlots);
        both.push_back(update);
        if (wanted.order == Order::kUpdateFirst) {
          EXPECT_TRUE(controller.wait({update}));
        }
      }
      if (wanted.order == Order::kUpdateFirst) roll_out();
      EXPECT_TRUE(controller.wait(both));
      if (testing::Test::HasFailure()) return record;
      if (rollout != 0) note_rollout(controller, rollout, record);
      if (update != 0) note_update(controller, update, record);
      if (update != 0 && step - 1 == wanted.checkpoint_after) {
        const auto written = controller.checkpoint(0, step - 1, wanted.checkpoint_folder);
        EXPECT_TRUE(controller.wait({written}));
        EXPECT_THAT(controller.done(written).done.warning(), IsEmpty());
      }
      rollout_before = rollout;
    }
    controller.shut_down();
    EXPECT_THAT(controller.worker_error, IsEmpty());
    return record;
  }
};

TEST_F(OneStepOffTest, TheOutcomeDoesNotDependOnWhatRunsFirst) {
  const Record in_turn = run({.order = Order::kRolloutFirst, .num_threads = 1});
  ASSERT_EQ(in_turn.hashes.size(), 6u);
  EXPECT_EQ(run({.order = Order::kUpdateFirst, .num_threads = 1}), in_turn);
  for (const int num_threads : {1, 2, 3}) {
    EXPECT_EQ(run({.order = Order::kBeside, .num_threads = num_threads}), in_turn) << num_threads << " threads";
  }
}

// Without learning the weights stay the first ones: rollouts 1 and 2 must be theirs, rollout 3 no longer.
TEST_F(OneStepOffTest, RolloutsAreByTheWeightsOfTheStepBeforeTheLast) {
  const Record learning = run({.last = 3});
  const Record standing = run({.lr = "0", .last = 3});
  const auto rollout = [](const Record& record, std::size_t step) {
    const auto begin = record.tokens.begin() + static_cast<std::ptrdiff_t>((step - 1) * kSamples);
    return std::vector(begin, begin + kSamples);
  };
  EXPECT_EQ(rollout(learning, 1), rollout(standing, 1));
  EXPECT_EQ(rollout(learning, 2), rollout(standing, 2));
  EXPECT_NE(rollout(learning, 3), rollout(standing, 3));
}

TEST_F(OneStepOffTest, AResumeGoesOnExactly) {
  const std::string folder = folder_ / "step-3";
  const Record whole = run({.checkpoint_after = 3, .checkpoint_folder = folder});
  // Rollout 4 is done again: it was under way, or its trajectories are gone with the process.
  const Record rest = run({.first = 4, .resume_folder = folder});
  ASSERT_EQ(rest.hashes.size(), 3u);
  EXPECT_EQ(rest.hashes, std::vector(whole.hashes.begin() + 3, whole.hashes.end()));
  EXPECT_EQ(rest.tokens, std::vector(whole.tokens.begin() + 3 * kSamples, whole.tokens.end()));
  EXPECT_TRUE(load_model(folder).ok());
}

TEST_F(OneStepOffTest, ACheckpointOfSyncModeIsRefused) {
  const std::string folder = folder_ / "step-0";
  {
    ScriptedController sync(job_yaml(pipeline_yaml("a")), with_threads(1));
    const auto rollout = sync.rollout(0, 1, 0, kSamples);
    ASSERT_TRUE(sync.wait({rollout}));
    ASSERT_TRUE(sync.wait({sync.update(0, 1, 0, sync.done(rollout).trajectories, kSlots)}));
    ASSERT_TRUE(sync.wait({sync.checkpoint(0, 1, folder)}));
  }
  ScriptedController controller(job_yaml(pipeline_yaml("a", "  mode: one_step_off\n")), with_threads(1), {folder});
  controller.shut_down();
  EXPECT_THAT(controller.worker_error, HasSubstr("state.json: rollout_version is missing"));
}

}  // namespace
}  // namespace jigsaw
