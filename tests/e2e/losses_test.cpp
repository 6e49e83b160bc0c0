// Workers are killed and stopped while they work: the run goes on without them and trains the same, to the bit.
//
// ChaosTest does so at random, and lets others join. A few blows by default; for long, and to see another course:
//   JIGSAW_CHAOS_BLOWS=200 JIGSAW_CHAOS_SEED=7 build/ci/tests/e2e/losses_test --gtest_filter='ChaosTest.*'
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <random>
#include <regex>
#include <thread>

#include "tests/e2e/jigsaw_process.h"
#include "tests/e2e/job_text.h"

namespace jigsaw {
namespace {

namespace fs = std::filesystem;
using Hashes = std::map<std::string, std::string>;

// What hits a worker, and when: all workers have connected, so many steps are done, and so much time has gone by since.
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
    std::map<std::string, std::string> trajectories;         // whole files, by pipeline
    std::map<std::string, std::vector<std::string>> hashes;  // of the weights after each step, by pipeline
    int hit = 0;
  };

  // A worker joins after `join_after_steps`, if that is not below 0.
  Run run(const std::string& job, int workers, const std::vector<Blow>& blows, int join_after_steps = -1) {
    const std::string out = (folder_.path() / ("run-" + std::to_string(++num_runs_))).string();
    Run run;
    const fs::path metrics = fs::path(out) / "metrics.jsonl", log = fs::path(out) / "logs" / "controller.log";
    std::vector<bool> done(blows.size());
    std::vector<std::optional<std::chrono::steady_clock::time_point>> due_since(blows.size());
    bool has_begun = false;
    std::jthread joiner;
    run.outcome = run_jigsaw(
        {"run", job, "--workers", std::to_string(workers), "--out", out, "--json", "--quiet"}, [&](int session) {
          has_begun = has_begun || count_lines(log, "worker.connected") >= workers;
          if (!has_begun || (blows.empty() && join_after_steps < 0)) return false;
          const int steps = count_lines(metrics);
          if (join_after_steps >= 0 && !joiner.joinable() && steps >= join_after_steps) {
            joiner = std::jthread([out] { run_jigsaw({"worker", "--join", out, "--threads", "1"}); });
          }
          const auto now = std::chrono::steady_clock::now();
          for (std::size_t i = 0; i < blows.size(); ++i) {
            if (done[i] || steps < blows[i].after_steps) continue;
            if (!due_since[i]) due_since[i] = now;
            if (now - *due_since[i] < blows[i].after) continue;
            done[i] = true;
            if (signal_rank(session, blows[i].rank, blows[i].signal)) ++run.hit;
          }
          return false;
        });
    if (joiner.joinable()) joiner.join();
    run.summary = last_json_line(run.outcome.out);
    for (const auto& [name, hash] : weights_hashes(run.summary)) {
      run.trajectories[name] = read_whole(fs::path(out) / "trajectories" / (name + ".jsonl"));
    }
    std::ifstream lines(metrics);
    for (std::string line; std::getline(lines, line);) {
      const nlohmann::json step = nlohmann::json::parse(line);
      std::vector<std::string>& hashes = run.hashes[step["pipeline"]];
      hashes.push_back(step["weights_hash"]);
      EXPECT_EQ(step["step"], hashes.size()) << "a step came twice, or was left out";
    }
    fs::remove_all(out);
    return run;
  }

  void expect_same(const Run& run, const Run& reference, const std::string& what) {
    ASSERT_EQ(run.outcome.exit_code, 0) << what << ": " << run.outcome.err;
    EXPECT_EQ(weights_hashes(run.summary), weights_hashes(reference.summary)) << what;
    EXPECT_EQ(run.trajectories, reference.trajectories) << what << ": a sample was lost, doubled or changed";
    EXPECT_EQ(run.hashes, reference.hashes) << what;
  }

  static std::string pipelines() {
    return sort_pipeline() + reverse_pipeline() + calls_pipeline() + long_pipeline() + sort_pipeline("ahead") +
           "  mode: one_step_off\n" + sort_pipeline("async") + "  mode: async\n";
  }
  std::string job_file() { return folder_.file("job.yaml", job_text(longer(pipelines()))); }

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

// Moments of a step in which two workers share its long sample, as far as the log tells.
TEST_F(LossesTest, AWorkerKilledWhileItSharesASampleChangesNothing) {
  const std::string job = folder_.file("job.yaml", job_text(longer(long_pipeline())));
  const Run reference = run(job, 3, {});
  int num_updates = 0;
  for (const int after_ms : {0, 25, 50, 75, 100, 125}) {
    const Run killed = run(job, 3,
                           {{.signal = SIGKILL,
                             .rank = 1 + after_ms % 3,
                             .after_steps = 3,
                             .after = std::chrono::milliseconds(after_ms)}});
    expect_same(killed, reference, "killed after " + std::to_string(after_ms) + " ms");
    if (killed.outcome.err.find("doing=\"update") != std::string::npos) ++num_updates;
  }
  EXPECT_GT(num_updates, 0);
}

TEST_F(LossesTest, AStoppedWorkerIsGivenUp) {
  const std::string job = job_file();
  const Run reference = run(job, 2, {});
  const Run stopped = run(job, 2, {{.signal = SIGSTOP, .rank = 1, .after_steps = 20}});
  expect_same(stopped, reference, "stopped");
  EXPECT_EQ(stopped.summary["workers_lost"], 1);
}

// kill -9: everybody notices at once. Stopped: the workers end after worker_timeout_s; the controller, once it goes on,
// finds nobody there.
TEST_F(LossesTest, WithoutTheControllerAllEndAndResumeGoesOn) {
  const std::string job = job_file();
  const Run reference = run(job, 2, {});
  for (const int signal : {SIGKILL, SIGSTOP}) {
    const std::string out = (folder_.path() / ("out-" + std::to_string(signal))).string();
    std::optional<std::chrono::steady_clock::time_point> hit;
    bool workers_ended = false;
    const ProcessOutcome outcome = run_jigsaw(
        {"run", job, "--workers", "2", "--out", out, "--json", "--quiet", "--set", "worker_timeout_s=8"},
        [&](int session) {
          if (!hit && count_lines(fs::path(out) / "metrics.jsonl") >= 40 && signal_rank(session, 0, signal)) {
            hit = std::chrono::steady_clock::now();
          }
          if (!hit || workers_ended) return false;
          workers_ended = process_of_rank(session, 1) < 0 && process_of_rank(session, 2) < 0;
          if (workers_ended && signal == SIGSTOP) signal_rank(session, 0, SIGCONT);
          return false;
        });
    ASSERT_TRUE(hit);
    EXPECT_TRUE(workers_ended);
    EXPECT_LT(std::chrono::steady_clock::now() - *hit, std::chrono::seconds(60 * kPatience));
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
}

// mpirun waits for ranks that do not end until it is told to give up, and then tells of a failure by its code only.
TEST_F(LossesTest, WorkersThatHangWithoutAControllerAreEndedAndTheRunSaysHowToGoOn) {
  const std::string out = (folder_.path() / "out").string();
  bool hit = false;
  const ProcessOutcome outcome =
      run_jigsaw({"run", job_file(), "--workers", "2", "--out", out, "--quiet"}, [&](int session) {
        if (hit || count_lines(fs::path(out) / "metrics.jsonl") < 5) return false;
        hit = signal_rank(session, 1, SIGSTOP) && signal_rank(session, 2, SIGSTOP) && signal_rank(session, 0, SIGKILL);
        return false;
      });
  ASSERT_TRUE(hit);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, testing::HasSubstr("--resume"));
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

class ChaosTest : public LossesTest {
 protected:
  int draw(int from, int to) { return from + static_cast<int>(random_() % static_cast<unsigned>(to - from + 1)); }

  // What the workers were doing that were lost, as the controller has it: "update of sort step 3".
  void note_losses(const std::string& err) {
    static const std::regex line("worker\\.lost worker=\\d+ .*doing=\"([^\"]*)\"");
    static const std::regex work("(?:^|, )([a-z.]+)");
    for (std::sregex_iterator lost(err.begin(), err.end(), line), end; lost != end; ++lost) {
      const std::string doing = (*lost)[1];
      for (std::sregex_iterator kind(doing.begin(), doing.end(), work), none; kind != none; ++kind) {
        ++losses_while_[(*kind)[1]];
      }
    }
  }

  std::mt19937 random_{static_cast<unsigned>(number_of("JIGSAW_CHAOS_SEED", 1))};
  std::map<std::string, int> losses_while_;
};

TEST_F(ChaosTest, RandomKillsAndStopsChangeNothing) {
  const std::string job = folder_.file("job.yaml", job_text(pipelines()));
  const Run reference = run(job, 2, {});
  ASSERT_EQ(reference.outcome.exit_code, 0) << reference.outcome.err;
  int steps = 0;
  for (const auto& [name, hashes] : reference.hashes) steps += static_cast<int>(hashes.size());
  ASSERT_EQ(steps, 6 * 8);
  const int blows_wanted = number_of("JIGSAW_CHAOS_BLOWS", 4);
  int num_blows = 0, num_lost = 0, num_joined = 0, rounds = 0;
  for (; num_blows < blows_wanted && rounds < 4 * blows_wanted; ++rounds) {
    const int workers = draw(2, 4);
    std::vector<int> ranks;
    for (int rank = 1; rank <= workers; ++rank) ranks.push_back(rank);
    std::ranges::shuffle(ranks, random_);
    std::vector<Blow> blows;
    std::string what = "round " + std::to_string(rounds) + ", " + std::to_string(workers) + " workers:";
    for (int i = draw(1, workers - 1); i > 0; --i) {
      // From loading the models on to the last step.
      blows.push_back({.signal = draw(0, 3) == 0 ? SIGSTOP : SIGKILL,
                       .rank = ranks.back(),
                       .after_steps = draw(0, steps - 1),
                       .after = std::chrono::milliseconds(draw(0, 60))});
      what += " signal " + std::to_string(blows.back().signal) + " to " + std::to_string(ranks.back()) + " " +
              std::to_string(blows.back().after.count()) + " ms after step " +
              std::to_string(blows.back().after_steps) + ";";
      ranks.pop_back();
    }
    const int join_after_steps = draw(0, 3) == 0 ? 0 : -1;
    if (join_after_steps >= 0) what += " one joins after step " + std::to_string(join_after_steps);
    const Run hit = run(job, workers, blows, join_after_steps);
    expect_same(hit, reference, what);
    if (HasFatalFailure()) return;
    num_blows += hit.hit;
    num_lost += hit.summary["workers_lost"].get<int>();
    num_joined += hit.summary["workers_joined"].get<int>();
    note_losses(hit.outcome.err);
    std::printf("%s %d of %d blows\n", what.c_str(), num_blows, blows_wanted);
    std::fflush(stdout);
  }
  std::printf("%d runs, %d blows, %d workers lost while they worked, %d joined; when lost they were in:\n", rounds,
              num_blows, num_lost, num_joined);
  for (const auto& [kind, count] : losses_while_) std::printf("  %s %d\n", kind.c_str(), count);
  EXPECT_GE(num_blows, blows_wanted);
}

}  // namespace
}  // namespace jigsaw
