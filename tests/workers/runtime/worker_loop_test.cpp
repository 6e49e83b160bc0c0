// A worker as the controller sees it: real models, tiny.
#include "workers/worker_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "rollout/models/model_files.h"
#include "tests/workers/runtime/scripted_controller.h"
#include "tests/workers/trainer/temporary_folder.h"
#include "workers/stages/rollout_stage.h"
#include "workers/stages/update_stage.h"

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

// ---- staleness ------------------------------------------------------------------------------------------------------

enum class Order { kBeside, kRolloutFirst, kUpdateFirst };

struct StaleRun {
  int staleness = 1;
  std::int64_t lead = 1;  // rollout s and update s - lead are under way together; up to the staleness
  Order order = Order::kBeside;
  int num_threads = 2;
  std::string lr = "1e-2";
  std::int64_t first = 1, last = 7;  // steps
  std::string resume_folder{};
  std::int64_t checkpoint_after = 0;  // a step
  std::string checkpoint_folder{};
};

std::string mode_yaml(int staleness) {
  return staleness == 1 ? "  mode: one_step_off\n"
                        : "  mode: async\n  max_staleness: " + std::to_string(staleness) + "\n";
}

class StalenessTest : public WorkerLoopTest {
 protected:
  // The step before `first` has been trained: with a resume, its checkpoint holds all copies.
  Record run(const StaleRun& wanted) {
    Record record;
    ScriptedController controller(job_yaml(pipeline_yaml("a", mode_yaml(wanted.staleness), wanted.lr)),
                                  with_threads(wanted.num_threads), {wanted.resume_folder});
    std::map<std::int64_t, std::uint64_t> rollouts;  // by step
    std::int64_t synced_step = wanted.first - 1;
    const auto version_of = [&](std::int64_t step) { return std::max<std::int64_t>(step - 1 - wanted.staleness, 0); };
    for (std::int64_t step = wanted.first; step <= wanted.last + wanted.lead; ++step) {
      const std::int64_t trained_step = step - wanted.lead;
      while (synced_step < std::min(trained_step + wanted.staleness, wanted.last)) {
        ++synced_step;
        EXPECT_TRUE(controller.wait({controller.sync(0, synced_step, version_of(synced_step))}));
      }
      std::vector<std::uint64_t> both;
      std::uint64_t update = 0;
      const auto roll_out = [&] {
        if (step > wanted.last) return;
        rollouts[step] = controller.rollout(0, step, version_of(step), kSamples);
        both.push_back(rollouts[step]);
        if (wanted.order != Order::kBeside) {
          EXPECT_TRUE(controller.wait({rollouts[step]}));
        }
      };
      if (wanted.order != Order::kUpdateFirst) roll_out();
      if (trained_step >= wanted.first) {
        update = controller.update(0, trained_step, trained_step - 1,
                                   controller.done(rollouts[trained_step]).trajectories, kSlots);
        both.push_back(update);
        if (wanted.order == Order::kUpdateFirst) {
          EXPECT_TRUE(controller.wait({update}));
        }
      }
      if (wanted.order == Order::kUpdateFirst) roll_out();
      EXPECT_TRUE(controller.wait(both));
      if (testing::Test::HasFailure()) return record;
      if (step <= wanted.last) note_rollout(controller, rollouts[step], record);
      if (update != 0) note_update(controller, update, record);
      if (update != 0 && trained_step == wanted.checkpoint_after) {
        const auto written = controller.checkpoint(0, trained_step, wanted.checkpoint_folder);
        EXPECT_TRUE(controller.wait({written}));
        EXPECT_THAT(controller.done(written).done.warning(), IsEmpty());
      }
    }
    controller.shut_down();
    EXPECT_THAT(controller.worker_error, IsEmpty());
    return record;
  }
};

class EveryStalenessTest : public StalenessTest, public testing::WithParamInterface<int> {};

TEST_P(EveryStalenessTest, TheOutcomeDependsNeitherOnWhatRunsFirstNorOnHowFarRolloutsAreAhead) {
  const int staleness = GetParam();
  const Record in_turn = run({.staleness = staleness, .order = Order::kRolloutFirst, .num_threads = 1});
  ASSERT_EQ(in_turn.hashes.size(), 7u);
  for (std::int64_t lead = 1; lead <= staleness; ++lead) {
    EXPECT_EQ(run({.staleness = staleness, .lead = lead, .order = Order::kUpdateFirst, .num_threads = 1}), in_turn);
    for (const int num_threads : {1, 2, 3}) {
      EXPECT_EQ(run({.staleness = staleness, .lead = lead, .num_threads = num_threads}), in_turn)
          << num_threads << " threads, " << lead << " steps ahead";
    }
  }
}

// The loop written out, with all weights there ever were: one pipeline that only trains, one that only rolls out.
TEST_P(EveryStalenessTest, RolloutsAreByTheWeightsOfTheStepSoMuchBefore) {
  const int staleness = GetParam();
  const std::string yaml = job_yaml(pipeline_yaml("a", "  algorithm: {importance_cap: 2}\n"));
  const PipelineConfig config = read_job(yaml, "job.yaml").value().config.pipelines[0];
  const auto training = PipelineRuntime::create(config, "", make_local_exchange()).value();
  const auto rolling_out = PipelineRuntime::create(config, "", make_local_exchange()).value();
  Lane lane(1);
  const auto run_to_end = [&lane](SubStage& stage) {
    while (!stage.done()) {
      CHECK(stage.poll().ok());
      if (stage.runnable()) CHECK(stage.run_quantum(lane).ok());
    }
  };
  std::vector<std::vector<float>> weights_after;  // by step
  const auto note_weights = [&] {
    const std::span<const float> floats = training->weights().floats();
    weights_after.emplace_back(floats.begin(), floats.end());
  };
  note_weights();
  Record expected;
  for (std::int64_t step = 1; step <= 7; ++step) {
    const auto weights_of = static_cast<std::size_t>(std::max<std::int64_t>(step - 1 - staleness, 0));
    std::ranges::copy(weights_after[weights_of], rolling_out->weights().mutable_floats().begin());
    rolling_out->on_weights_trained();
    std::vector<wire::Trajectory> trajectories(kSamples);
    RolloutListener listener;
    listener.on_trajectory = [&](wire::Trajectory trajectory) {
      trajectories[trajectory.sample()] = std::move(trajectory);
      return ok_status();
    };
    wire::RolloutWork work;
    for (std::uint32_t sample = 0; sample < kSamples; ++sample) work.add_samples(sample);
    run_to_end(*RolloutStage::create(*rolling_out, step, work, TokenBins(), listener).value());
    for (const wire::Trajectory& trajectory : trajectories) {
      expected.tokens.emplace_back(trajectory.tokens().begin(), trajectory.tokens().end());
    }
    wire::UpdateWork update;
    update.set_update(training->trainer().version());
    update.mutable_trajectories()->Add(trajectories.begin(), trajectories.end());
    for (int slot = 0; slot < kSlots; ++slot) update.add_slot_owner(1);
    run_to_end(*UpdateStage::create(*training, 1, update).value());
    expected.hashes.push_back(training->weights().hash());
    note_weights();
  }
  EXPECT_EQ(run({.staleness = staleness, .lead = staleness}), expected);
  if (staleness > 1) {
    EXPECT_NE(run({.staleness = staleness - 1}), expected);
  }
}

TEST_P(EveryStalenessTest, AResumeGoesOnExactly) {
  const int staleness = GetParam();
  for (const std::int64_t step : {1, 4, 7}) {
    const std::string folder = folder_ / ("step-" + std::to_string(step));
    const Record whole =
        run({.staleness = staleness, .lead = staleness, .checkpoint_after = step, .checkpoint_folder = folder});
    // Rollouts are done again: they were under way, or their trajectories are gone with the process. After step 7: as
    // if more steps had been asked for.
    const std::int64_t last = step == 7 ? 8 : 7;
    const Record rest = run({.staleness = staleness, .first = step + 1, .last = last, .resume_folder = folder});
    const Record longer = step == 7 ? run({.staleness = staleness, .last = last}) : whole;
    ASSERT_EQ(rest.hashes.size(), static_cast<std::size_t>(last - step));
    EXPECT_EQ(rest.hashes, std::vector(longer.hashes.begin() + step, longer.hashes.end())) << step;
    EXPECT_EQ(rest.tokens, std::vector(longer.tokens.begin() + step * kSamples, longer.tokens.end())) << step;
    EXPECT_TRUE(load_model(folder).ok());
  }
}

INSTANTIATE_TEST_SUITE_P(Copies, EveryStalenessTest, testing::Values(1, 2, 3));

TEST_F(StalenessTest, ACheckpointOfAnotherModeIsRefused) {
  const std::string folder = folder_ / "step-1", stale = folder_ / "stale-1";
  {
    ScriptedController sync(job_yaml(pipeline_yaml("a")), with_threads(1));
    const auto rollout = sync.rollout(0, 1, 0, kSamples);
    ASSERT_TRUE(sync.wait({rollout}));
    ASSERT_TRUE(sync.wait({sync.update(0, 1, 0, sync.done(rollout).trajectories, kSlots)}));
    ASSERT_TRUE(sync.wait({sync.checkpoint(0, 1, folder)}));
  }
  run({.staleness = 2, .last = 1, .checkpoint_after = 1, .checkpoint_folder = stale});
  const auto error_of = [](int staleness, const std::string& checkpoint) {
    ScriptedController controller(job_yaml(pipeline_yaml("a", mode_yaml(staleness))), with_threads(1), {checkpoint});
    controller.shut_down();
    return controller.worker_error;
  };
  EXPECT_THAT(error_of(1, folder), HasSubstr("state.json: this checkpoint is of a pipeline in `mode: sync`"));
  EXPECT_THAT(error_of(2, folder), HasSubstr("`mode: async, max_staleness: 2` goes on with"));
  EXPECT_THAT(error_of(3, stale), HasSubstr("of a pipeline in `mode: async, max_staleness: 2`"));
  EXPECT_THAT(error_of(1, stale), HasSubstr("`mode: one_step_off` goes on with"));
}

}  // namespace
}  // namespace jigsaw
