#include "scheduler/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

namespace jigsaw {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class RunFolderTest : public testing::Test {
 protected:
  RunFolderTest() : root_(fs::path(testing::TempDir()) / ("run_folder_" + std::to_string(::getpid()))) {
    fs::remove_all(root_);
  }
  ~RunFolderTest() override { fs::remove_all(root_); }

  static std::vector<PipelineSpec> specs() {
    PipelineSpec spec;
    spec.name = "a";
    spec.steps = 9;
    spec.checkpoints_kept = 2;
    return {spec};
  }
  Result<RunFolder> open(bool resume, const std::string& identity = "id") {
    return RunFolder::open(root_, "job", identity, specs(), resume);
  }
  void write_checkpoint(int step, bool complete = true) {
    const fs::path folder = root_ / "checkpoints" / "a" / (std::string("step-0000000") + std::to_string(step));
    fs::create_directories(folder);
    if (complete) std::ofstream(folder / "state.json") << "{}";
  }
  std::vector<int> steps_in(const fs::path& file) {
    std::vector<int> steps;
    std::ifstream stream(root_ / file);
    for (std::string line; std::getline(stream, line);) steps.push_back(nlohmann::json::parse(line).at("step"));
    return steps;
  }
  static StepReport report(std::int64_t step) {
    StepReport report;
    report.step = step;
    report.num_samples = 1;
    report.trajectories.emplace_back().set_completion_text("caf\xc3");  // cut in the middle of a character
    return report;
  }
  fs::path root_;
};

TEST_F(RunFolderTest, StartsAtNothing) {
  const auto folder = open(false);
  ASSERT_TRUE(folder.ok());
  EXPECT_EQ(folder->start_points()[0].step, 0);
  EXPECT_EQ(folder->start_points()[0].folder, "");
}

TEST_F(RunFolderTest, ASecondRunNeedsResume) {
  { ASSERT_TRUE(open(false).ok()); }
  const auto again = open(false);
  ASSERT_FALSE(again.ok());
  EXPECT_THAT(again.error().message(), HasSubstr("--resume"));
  EXPECT_TRUE(open(true).ok());
}

TEST_F(RunFolderTest, ResumeCutsTheLogsBackToTheCheckpoint) {
  {
    auto folder = open(false);
    ASSERT_TRUE(folder.ok());
    for (std::int64_t step = 1; step <= 5; ++step) ASSERT_TRUE(folder->on_step(report(step)).ok());
    std::ofstream(root_ / "metrics.jsonl", std::ios::app) << "{\"pipeline\":\"a\",\"st";  // a kill in mid-line
  }
  write_checkpoint(3);
  write_checkpoint(4, /*complete=*/false);
  const auto folder = open(true);
  ASSERT_TRUE(folder.ok()) << folder.error().message();
  EXPECT_EQ(folder->start_points()[0].step, 3);
  EXPECT_THAT(steps_in("metrics.jsonl"), ElementsAre(1, 2, 3));
  EXPECT_THAT(steps_in("trajectories/a.jsonl"), ElementsAre(1, 2, 3));
}

TEST_F(RunFolderTest, ResumeRefusesAJobThatTrainsOtherwise) {
  { ASSERT_TRUE(open(false).ok()); }
  const auto other = open(true, "another id");
  ASSERT_FALSE(other.ok());
  EXPECT_THAT(other.error().message(), HasSubstr("trains otherwise"));
}

TEST_F(RunFolderTest, TwoRunsInOneFolderAreRefused) {
  const auto first = open(false);
  ASSERT_TRUE(first.ok());
  const auto second = open(true);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.error().message(), HasSubstr("in use by another process"));
}

TEST_F(RunFolderTest, OldCheckpointsGo) {
  auto folder = open(false);
  ASSERT_TRUE(folder.ok());
  for (int step = 1; step <= 4; ++step) {
    write_checkpoint(step);
    ASSERT_TRUE(folder->on_checkpoint(0, step, "").ok());
  }
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(root_ / "checkpoints" / "a")) left.push_back(entry.path().filename());
  EXPECT_THAT(left, testing::UnorderedElementsAre("step-00000003", "step-00000004"));
}

}  // namespace
}  // namespace jigsaw
