// Too little disk, too little memory for keys and values: slower, or ended with a clear word, never other weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>

#include "tests/e2e/jigsaw_process.h"
#include "tests/e2e/job_text.h"

namespace jigsaw {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

// A disk of its own, of so many KiB, for as long as this lives. Only root can have one.
class SmallDisk {
 public:
  SmallDisk(const fs::path& folder, int kib) : folder_(folder) {
    fs::create_directories(folder);
    if (::mount("none", folder.c_str(), "tmpfs", 0, size(kib).c_str()) == 0) return;
    problem_ = std::string("cannot mount a small file system (needs root): ") + std::strerror(errno);
  }
  ~SmallDisk() {
    if (problem_.empty()) ::umount2(folder_.c_str(), MNT_DETACH);
  }
  const std::string& problem() const { return problem_; }
  void resize(int kib) { ASSERT_EQ(::mount("none", folder_.c_str(), "tmpfs", MS_REMOUNT, size(kib).c_str()), 0); }

 private:
  static std::string size(int kib) { return "size=" + std::to_string(kib) + "k"; }
  fs::path folder_;
  std::string problem_;
};

class OverloadTest : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  ProcessOutcome run(const std::string& job, const std::string& out, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"run", job, "--workers", "0", "--out", path(out), "--json", "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_jigsaw(arguments);
  }
  TestFolder folder_;
};

// What a folder's files take on a file system with blocks of 4 KiB.
int kib_of(const fs::path& folder) {
  int kib = 0;
  for (const auto& entry : fs::directory_iterator(folder))
    kib += static_cast<int>((entry.file_size() + 4095) / 4096) * 4;
  return kib;
}

TEST_F(OverloadTest, AFullDiskAtACheckpointKeepsTheOneBefore) {
  const std::string job = folder_.file("job.yaml", job_text(sort_pipeline()));
  const ProcessOutcome reference = run(job, "reference");
  // One checkpoint fits, the second does not.
  SmallDisk disk(path("out/checkpoints"), kib_of(path("reference/checkpoints/sort/step-00000008")) * 3 / 2);
  if (!disk.problem().empty()) GTEST_SKIP() << disk.problem();
  const ProcessOutcome full = run(job, "out");
  ASSERT_EQ(full.exit_code, 0) << full.err;
  EXPECT_EQ(weights_hashes(last_json_line(full.out)), weights_hashes(last_json_line(reference.out)));
  EXPECT_THAT(full.err, HasSubstr("checkpoint.failed pipeline=sort step=6"));
  EXPECT_THAT(full.err, HasSubstr("No space left on device"));
  EXPECT_THAT(full.err, HasSubstr("the checkpoint before it is kept"));
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(path("out/checkpoints/sort")))
    left.push_back(entry.path().filename());
  EXPECT_THAT(left, testing::ElementsAre("step-00000003"));

  disk.resize(6000);
  const ProcessOutcome resumed = run(job, "out", {"--resume"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(weights_hashes(last_json_line(resumed.out)), weights_hashes(last_json_line(reference.out)));
  EXPECT_TRUE(fs::exists(path("out/checkpoints/sort/step-00000008/state.json")));
}

TEST_F(OverloadTest, AFullDiskForMetricsEndsTheRunAndSaysSo) {
  const std::string job = folder_.file("job.yaml", job_text(sort_pipeline()));
  const ProcessOutcome reference = run(job, "reference");
  SmallDisk disk(path("out"), 60);
  if (!disk.problem().empty()) GTEST_SKIP() << disk.problem();
  const ProcessOutcome full = run(job, "out");
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.err, HasSubstr("is the disk full?"));
  EXPECT_THAT(full.err, Not(HasSubstr("terminate called")));

  disk.resize(6000);
  const ProcessOutcome resumed = run(job, "out", {"--resume"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(weights_hashes(last_json_line(resumed.out)), weights_hashes(last_json_line(reference.out)));
  EXPECT_EQ(read_whole(path("out/trajectories/sort.jsonl")), read_whole(path("reference/trajectories/sort.jsonl")));
  EXPECT_EQ(count_lines(path("out/metrics.jsonl")), 8);
}

// Room for two sequences of sixteen that come at once: the others wait, or are dropped and computed again.
TEST_F(OverloadTest, TooLittleMemoryForKeysAndValuesOnlyTakesTime) {
  const std::string job = folder_.file("job.yaml", job_text(R"(- name: long
  model_config: {family: qwen3, hidden_size: 32, num_layers: 2, num_heads: 2, num_kv_heads: 2, intermediate_size: 64, tokenizer: byte}
  task: {name: reverse, length_min: 2, length_max: 3, alphabet: "abc"}
  reward: {type: char_match}
  rollout: {prompts_per_step: 4, group_size: 4, max_new_tokens: 200, max_positions: 256}
  train: {steps: 3, lr: 1e-3}
)"));
  const ProcessOutcome roomy = run(job, "roomy");
  const ProcessOutcome tight = run(job, "tight", {"--set", "pipelines.long.rollout.kv_mb=0.3"});
  ASSERT_EQ(roomy.exit_code, 0) << roomy.err;
  ASSERT_EQ(tight.exit_code, 0) << tight.err;
  EXPECT_EQ(last_json_line(roomy.out)["recomputed_tokens"], 0);
  EXPECT_GT(last_json_line(tight.out)["recomputed_tokens"], 0) << "there was room for all";
  EXPECT_EQ(weights_hashes(last_json_line(tight.out)), weights_hashes(last_json_line(roomy.out)));
  EXPECT_EQ(read_whole(path("tight/trajectories/long.jsonl")), read_whole(path("roomy/trajectories/long.jsonl")));
}

}  // namespace
}  // namespace jigsaw
