// Workers are killed and stopped while they work: the run goes on without them and trains the same, to the bit.
//
// ChaosTest does so at random. A few times by default; JIGSAW_CHAOS_RUNS=200 for long, JIGSAW_CHAOS_SEED to vary it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <random>

#include "tests/e2e/jigsaw_process.h"
#include "tests/e2e/job_text.h"

namespace jigsaw {
namespace {

namespace fs = std::filesystem;
using Hashes = std::map<std::string, std::string>;

// What hits a worker, and when: once so many steps are done, and so long after all workers have connected.
struct Blow {
  int signal = SIGKILL;
  int rank = 1;
  int after_steps = 0;
  std::chrono::milliseconds after{0};
};

class LossesTest : public testing::Test {
 protected:
  struct Run {
    ProcessOutcome outcome;
    nlohmann::json summary;
    std::map<std::string, std::string> trajectories;  // whole files, by pipeline
    int hit = 0;
  };

  Run run(const std::string& job, int workers, const std::vector<Blow>& blows) {
    const std::string out = (folder_.path() / ("run-" + std::to_string(++num_runs_))).string();
    Run run;
    std::vector<bool> done(blows.size());
    std::optional<std::chrono::steady_clock::time_point> begin;
    run.outcome = run_jigsaw(
        {"run", job, "--workers", std::to_string(workers), "--out", out, "--json", "--quiet"}, [&](int session) {
          if (blows.empty()) return false;
          const auto now = std::chrono::steady_clock::now();
          if (!begin && count_lines(fs::path(out) / "logs" / "controller.log", "worker.connected") >= workers)
            begin = now;
          for (std::size_t i = 0; begin && i < blows.size(); ++i) {
            const bool is_due =
                now - *begin >= blows[i].after && count_lines(fs::path(out) / "metrics.jsonl") >= blows[i].after_steps;
            if (done[i] || !is_due) continue;
            done[i] = true;
            const int process = process_of_rank(session, blows[i].rank);
            if (process > 0 && ::kill(process, blows[i].signal) == 0) ++run.hit;
          }
          return false;
        });
    run.summary = last_json_line(run.outcome.out);
    for (const auto& [name, hash] : weights_hashes(run.summary)) {
      run.trajectories[name] = read_whole(fs::path(out) / "trajectories" / (name + ".jsonl"));
    }
    fs::remove_all(out);
    return run;
  }

  void expect_same(const Run& run, const Run& reference, const std::string& what) {
    ASSERT_EQ(run.outcome.exit_code, 0) << what << ": " << run.outcome.err;
    EXPECT_EQ(weights_hashes(run.summary), weights_hashes(reference.summary)) << what;
    EXPECT_EQ(run.trajectories, reference.trajectories) << what << ": a sample was lost, doubled or changed";
  }

  std::string job_file() {
    return folder_.file("job.yaml", job_text(longer(sort_pipeline() + reverse_pipeline() + sort_pipeline("ahead") +
                                                    "  mode: one_step_off\n")));
  }

  TestFolder folder_;
  int num_runs_ = 0;
};

TEST_F(LossesTest, AKilledWorkerChangesNothing) {
  const std::string job = job_file();
  const Run reference = run(job, 3, {});
  ASSERT_EQ(reference.outcome.exit_code, 0) << reference.outcome.err;
  EXPECT_EQ(reference.summary["workers_lost"], 0);
  for (const int after_steps : {3, 40}) {
    const Run killed = run(job, 3, {{.signal = SIGKILL, .rank = 2, .after_steps = after_steps}});
    expect_same(killed, reference, "killed after " + std::to_string(after_steps) + " steps");
    EXPECT_EQ(killed.summary["workers_lost"], 1) << "it ended before the kill";
    EXPECT_THAT(killed.outcome.err, testing::HasSubstr("worker.lost worker=2"));
  }
  const Run twice = run(
      job, 3, {{.signal = SIGKILL, .rank = 1, .after_steps = 10}, {.signal = SIGKILL, .rank = 3, .after_steps = 30}});
  expect_same(twice, reference, "two killed");
  EXPECT_EQ(twice.summary["workers_lost"], 2);
}

TEST_F(LossesTest, AStoppedWorkerIsGivenUp) {
  const std::string job = job_file();
  const Run reference = run(job, 2, {});
  const Run stopped = run(job, 2, {{.signal = SIGSTOP, .rank = 1, .after_steps = 20}});
  expect_same(stopped, reference, "stopped");
  EXPECT_EQ(stopped.summary["workers_lost"], 1);
}

TEST_F(LossesTest, WithoutTheControllerAllEndAndResumeGoesOn) {
  const std::string job = job_file();
  const Run reference = run(job, 2, {});
  const std::string out = (folder_.path() / "out").string();
  bool hit = false;
  const ProcessOutcome outcome =
      run_jigsaw({"run", job, "--workers", "2", "--out", out, "--json", "--quiet"}, [&](int session) {
        if (!hit && count_lines(fs::path(out) / "metrics.jsonl") >= 40) {
          hit = true;
          ::kill(process_of_rank(session, 0), SIGKILL);
        }
        return false;
      });
  ASSERT_TRUE(hit);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, testing::HasSubstr("--resume"));
  const ProcessOutcome resumed =
      run_jigsaw({"run", job, "--workers", "2", "--out", out, "--resume", "--json", "--quiet"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(weights_hashes(last_json_line(resumed.out)), weights_hashes(reference.summary));
  for (const auto& [name, trajectories] : reference.trajectories) {
    EXPECT_EQ(read_whole(fs::path(out) / "trajectories" / (name + ".jsonl")), trajectories) << name;
  }
}

TEST_F(LossesTest, WithoutAnyWorkerTheRunEndsAndSaysSo) {
  const Run run = this->run(job_file(), 1, {{.signal = SIGKILL, .rank = 1, .after_steps = 5}});
  EXPECT_EQ(run.outcome.exit_code, 1);
  EXPECT_THAT(run.outcome.err, testing::HasSubstr("no worker is left"));
}

int number_of(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::atoi(text);
}

class ChaosTest : public LossesTest {};

TEST_F(ChaosTest, RandomKillsAndStopsChangeNothing) {
  const std::string job = job_file();
  const Run reference = run(job, 2, {});
  ASSERT_EQ(reference.outcome.exit_code, 0) << reference.outcome.err;
  const double wall_s = reference.summary["wall_s"];
  std::mt19937 random(static_cast<unsigned>(number_of("JIGSAW_CHAOS_SEED", 1)));
  const auto draw = [&](int from, int to) {
    return from + static_cast<int>(random() % static_cast<unsigned>(to - from + 1));
  };
  const int blows_wanted = number_of("JIGSAW_CHAOS_RUNS", 3);
  int num_blows = 0, num_lost = 0;
  for (int round = 0; num_blows < blows_wanted && round < 4 * blows_wanted; ++round) {
    const int workers = draw(2, 4);
    std::vector<int> ranks;
    for (int rank = 1; rank <= workers; ++rank) ranks.push_back(rank);
    std::ranges::shuffle(ranks, random);
    std::vector<Blow> blows;
    std::string what = "round " + std::to_string(round) + ", " + std::to_string(workers) + " workers:";
    for (int i = draw(1, workers - 1); i > 0; --i) {
      // From loading the models on to the end of the run.
      const auto after = std::chrono::milliseconds(draw(0, static_cast<int>(1000 * wall_s)));
      blows.push_back({.signal = draw(0, 3) == 0 ? SIGSTOP : SIGKILL, .rank = ranks.back(), .after = after});
      what += " signal " + std::to_string(blows.back().signal) + " to " + std::to_string(ranks.back()) + " after " +
              std::to_string(after.count()) + " ms;";
      ranks.pop_back();
    }
    const Run hit = run(job, workers, blows);
    expect_same(hit, reference, what);
    if (HasFatalFailure()) return;
    num_blows += hit.hit;
    num_lost += hit.summary["workers_lost"].get<int>();
  }
  std::printf("%d blows, %d workers lost while they worked\n", num_blows, num_lost);
  EXPECT_GE(num_blows, blows_wanted);
}

}  // namespace
}  // namespace jigsaw
