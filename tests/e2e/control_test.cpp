// `jigsaw ctl` and `jigsaw worker --join` on real processes: they change who does what and when, never what is trained.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "tests/e2e/jigsaw_process.h"
#include "tests/e2e/job_text.h"

namespace jigsaw {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr std::chrono::minutes kRunMax{3 * kPatience};

class ControlTest : public testing::Test {
 protected:
  struct Run {
    ProcessOutcome outcome;
    nlohmann::json summary;
  };

  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string trajectories(const std::string& out, const std::string& pipeline) const {
    return read_whole(fs::path(path(out)) / "trajectories" / (pipeline + ".jsonl"));
  }

  Run run(const std::string& job, const std::string& out, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"run", job, "--workers", "2", "--out", path(out), "--json", "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Run run;
    run.outcome = run_process(program(std::move(arguments)), nullptr, kRunMax);
    run.summary = last_json_line(run.outcome.out);
    return run;
  }

  static std::vector<std::string> program(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), JIGSAW_PROGRAM);
    return arguments;
  }
  ProcessOutcome ctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "ctl");
    return run_jigsaw(std::move(arguments));
  }
  nlohmann::json status(const std::string& out) { return last_json_line(ctl({"status", path(out)}).out); }
  bool await(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kRunMax;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
  }
  bool await_worker(const std::string& out, std::size_t worker, const std::string& state) {
    return await([&] {
      const nlohmann::json json = status(out);
      return json.is_object() && json["workers"].size() >= worker && json["workers"][worker - 1]["state"] == state;
    });
  }

  TestFolder folder_;
};

TEST_F(ControlTest, PausingJoiningAndLosingWorkersTrainsTheSame) {
  const std::string job = folder_.file("job.yaml", job_text(longer(sort_pipeline() + reverse_pipeline() +
                                                                   sort_pipeline("ahead") + "  mode: one_step_off\n")));
  const Run reference = run(job, "reference");
  ASSERT_EQ(reference.outcome.exit_code, 0) << reference.outcome.err;
  EXPECT_EQ(reference.summary["workers_joined"], 0);

  Run steered;
  std::jthread running([&] { steered = run(job, "steered"); });
  ASSERT_TRUE(await([&] { return count_lines(path("steered/metrics.jsonl")) >= 10; }));
  EXPECT_EQ(ctl({"pause", path("steered"), "sort"}).exit_code, 0);  // which holds the run open until it is resumed
  EXPECT_EQ(ctl({"pause", path("steered"), "ahead"}).exit_code, 0);
  EXPECT_EQ(ctl({"weight", path("steered"), "sort", "3"}).exit_code, 0);
  const nlohmann::json paused = status("steered");
  ASSERT_TRUE(paused.is_object());
  EXPECT_EQ(paused["pipelines"][0]["state"], "paused");
  EXPECT_EQ(paused["pipelines"][0]["weight"], 3);

  std::atomic<bool> kill_second{false};
  ProcessOutcome first, second;
  std::jthread first_joiner([&] {
    first = run_process(program({"worker", "--join", path("steered"), "--threads", "1"}), nullptr, kRunMax);
  });
  EXPECT_TRUE(await_worker("steered", 3, "working"));
  EXPECT_EQ(ctl({"resume", path("steered"), "ahead"}).exit_code, 0);
  std::jthread second_joiner([&] {
    second = run_process(
        program({"worker", "--join", path("steered")}), [&](int) { return kill_second.load(); }, kRunMax);
  });
  EXPECT_TRUE(await_worker("steered", 4, "working"));
  EXPECT_EQ(ctl({"resume", path("steered"), "sort"}).exit_code, 0);
  kill_second = true;

  running.join();
  first_joiner.join();
  second_joiner.join();
  ASSERT_EQ(steered.outcome.exit_code, 0) << steered.outcome.err;
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(second.exit_code, 128 + 9);
  EXPECT_EQ(steered.summary["workers_joined"], 2);
  EXPECT_EQ(steered.summary["workers_lost"], 1) << "it ended before the kill";
  EXPECT_EQ(weights_hashes(steered.summary), weights_hashes(reference.summary));
  for (const char* pipeline : {"sort", "reverse", "ahead"}) {
    EXPECT_EQ(trajectories("steered", pipeline), trajectories("reference", pipeline)) << pipeline;
  }
  EXPECT_FALSE(fs::exists(path("steered/control.json"))) << "nobody answers there any more";
  EXPECT_FALSE(fs::exists(path("steered/joining")));
}

TEST_F(ControlTest, ACancelledPipelineGoesOnWithResume) {
  const std::string job = folder_.file("job.yaml", job_text(longer(sort_pipeline() + reverse_pipeline())));
  const Run reference = run(job, "reference");
  Run cancelled;
  std::jthread running([&] { cancelled = run(job, "out"); });
  ASSERT_TRUE(await([&] { return count_lines(path("out/metrics.jsonl"), "\"sort\"") >= 2; }));
  EXPECT_EQ(ctl({"cancel", path("out"), "sort"}).exit_code, 0);
  running.join();
  ASSERT_EQ(cancelled.outcome.exit_code, 0) << cancelled.outcome.err;
  EXPECT_TRUE(cancelled.summary["interrupted"]);
  EXPECT_LT(cancelled.summary["pipelines"][0]["steps"], kLongSteps);
  EXPECT_EQ(cancelled.summary["pipelines"][1]["steps"], kLongSteps);
  const Run resumed = run(job, "out", {"--resume"});
  ASSERT_EQ(resumed.outcome.exit_code, 0) << resumed.outcome.err;
  EXPECT_EQ(weights_hashes(resumed.summary), weights_hashes(reference.summary));
  EXPECT_EQ(trajectories("out", "sort"), trajectories("reference", "sort"));
}

TEST_F(ControlTest, AddedPipelinesTrainAsIfTheyHadBeenThereFromTheStart) {
  const std::string ahead = longer(sort_pipeline("ahead") + "  mode: one_step_off\n");
  const std::string all = folder_.file("all.yaml", job_text(longer(sort_pipeline() + reverse_pipeline()) + ahead));
  const Run reference = run(all, "reference");
  ASSERT_EQ(reference.outcome.exit_code, 0) << reference.outcome.err;

  const std::string job = folder_.file("job.yaml", job_text(longer(sort_pipeline())));
  const std::string reverse = folder_.file("reverse.yaml", "pipelines:\n" + longer(reverse_pipeline()));
  const std::string more = folder_.file("more.yaml", "pipelines:\n" + ahead);
  const std::string wrong = folder_.file("wrong.yaml", "pipelines:\n- name: sort\n  tusk: {name: sort}\n");
  Run killed;
  std::atomic<bool> kill{false};
  std::jthread running([&] {
    killed.outcome = run_process(
        program({"run", job, "--workers", "2", "--out", path("out"), "--quiet"}), [&](int) { return kill.load(); },
        kRunMax);
  });
  ASSERT_TRUE(await([&] { return count_lines(path("out/metrics.jsonl")) >= 2; }));
  EXPECT_EQ(ctl({"pause", path("out"), "sort"}).exit_code, 0);
  const ProcessOutcome refused = ctl({"add", path("out"), wrong});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("wrong.yaml:2"));
  EXPECT_THAT(refused.err, HasSubstr("did you mean 'task'?"));
  EXPECT_THAT(refused.err, HasSubstr("is the name of another pipeline already"));
  EXPECT_EQ(ctl({"add", path("out"), path("nowhere.yaml")}).exit_code, 2);
  for (const std::string& file : {reverse, more}) {
    const ProcessOutcome added = ctl({"add", path("out"), file});
    EXPECT_EQ(added.exit_code, 0) << added.err;
  }
  EXPECT_EQ(status("out")["pipelines"][2]["name"], "ahead");
  // A joiner is told of them as well.
  ProcessOutcome joiner;
  std::jthread joining([&] {
    joiner = run_process(program({"worker", "--join", path("out"), "--threads", "1"}), nullptr, kRunMax);
  });
  EXPECT_TRUE(await_worker("out", 3, "working"));
  ASSERT_TRUE(await([&] { return count_lines(path("out/metrics.jsonl"), "\"ahead\"") >= 4; }));
  kill = true;  // all of it, by -9
  running.join();
  joining.join();
  const Run resumed = run(job, "out", {"--resume"});
  ASSERT_EQ(resumed.outcome.exit_code, 0) << resumed.outcome.err;
  EXPECT_EQ(weights_hashes(resumed.summary), weights_hashes(reference.summary));
  for (const char* pipeline : {"sort", "reverse", "ahead"}) {
    EXPECT_EQ(trajectories("out", pipeline), trajectories("reference", pipeline)) << pipeline;
  }
}

// The pair of keys that ZeroMQ's manual prints: a sound one, but nobody's of this run.
constexpr char kStrangersPublicKey[] = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";
constexpr char kStrangersSecretKey[] = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs";

TEST_F(ControlTest, OnlyTheOwnerGetsInAndWrongRequestsEndNothing) {
  const std::string job = folder_.file("job.yaml", job_text(longer(sort_pipeline())));
  Run run;
  std::jthread running([&] { run = this->run(job, "out"); });
  ASSERT_TRUE(await([&] { return count_lines(path("out/metrics.jsonl")) >= 1; }));
  EXPECT_EQ(ctl({"pause", path("out"), "sort"}).exit_code, 0);

  const std::string file = path("out/control.json");
  struct stat file_status {};
  ASSERT_EQ(::stat(file.c_str(), &file_status), 0);
  EXPECT_EQ(file_status.st_mode & 0777, 0600u);

  nlohmann::json address = nlohmann::json::parse(read_whole(file));
  address["public_key"] = kStrangersPublicKey;
  address["secret_key"] = kStrangersSecretKey;
  fs::create_directory(path("stranger"));
  folder_.file("stranger/control.json", address.dump());
  fs::permissions(path("stranger/control.json"), fs::perms::owner_read | fs::perms::owner_write);
  ProcessOutcome stranger;
  std::jthread asking([&] { stranger = ctl({"cancel", path("stranger"), "sort"}); });

  fs::permissions(file, fs::perms::group_read, fs::perm_options::add);
  const ProcessOutcome readable = ctl({"status", path("out")});
  EXPECT_EQ(readable.exit_code, 2);
  EXPECT_THAT(readable.err, HasSubstr("chmod 600"));
  fs::permissions(file, fs::perms::group_read, fs::perm_options::remove);

  const ProcessOutcome misspelled = ctl({"pause", path("out"), "sord"});
  EXPECT_EQ(misspelled.exit_code, 2);
  EXPECT_THAT(misspelled.err, HasSubstr("did you mean 'sort'?"));
  const ProcessOutcome weight = ctl({"weight", path("out"), "sort", "-1"});
  EXPECT_EQ(weight.exit_code, 2);
  EXPECT_THAT(weight.err, HasSubstr("a number from 0.001 to 1000"));
  const ProcessOutcome nowhere = ctl({"status", path("nowhere")});
  EXPECT_EQ(nowhere.exit_code, 2);
  EXPECT_THAT(nowhere.err, HasSubstr("no run is under way"));
  EXPECT_EQ(run_jigsaw({"worker", "--join", path("nowhere")}).exit_code, 2);

  asking.join();
  EXPECT_EQ(stranger.exit_code, 1);
  EXPECT_THAT(stranger.err, HasSubstr("has not answered"));
  EXPECT_EQ(status("out")["pipelines"][0]["state"], "paused") << "the stranger was listened to";
  EXPECT_EQ(ctl({"resume", path("out"), "sort"}).exit_code, 0);
  running.join();
  EXPECT_EQ(run.outcome.exit_code, 0) << run.outcome.err;
  EXPECT_EQ(run.summary["pipelines"][0]["steps"], kLongSteps);
}

TEST_F(ControlTest, AKilledControllerIsToldFromABusyOne) {
  const std::string job = folder_.file("job.yaml", job_text(longer(sort_pipeline())));
  run_jigsaw({"run", job, "--workers", "2", "--out", path("out"), "--quiet"},
             [&](int) { return count_lines(path("out/metrics.jsonl")) >= 2; });  // kill -9
  const ProcessOutcome outcome = ctl({"status", path("out")});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("was killed; run --resume goes on"));
}

}  // namespace
}  // namespace jigsaw
