// The folder of a run:
//
//   job.yaml            the resolved job
//   added.yaml          pipelines that `jigsaw ctl add` has added to it; --resume goes on with them, too
//   metrics.jsonl       a line a finished step
//   trajectories/<pipeline>.jsonl   every completion with its reward: the trajectory log
//   checkpoints/<pipeline>/step-00000010/   newest ones; each appears under this name only when complete
//   summary.json        at the end
//   logs/               a file a process
//
// After a kill, lines may be there of steps that no checkpoint holds; open(resume) cuts them off, since those steps run
// again and give the same lines.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/files.h"
#include "core/result.h"
#include "graph/pipeline_spec.h"
#include "scheduler/controller.h"
#include "scheduler/run_observer.h"
#include "scheduler/run_summary.h"

namespace jigsaw {

class RunFolder : public RunObserver {
 public:
  // Makes the folder, or with `resume` takes it up again: `job_yaml` must then train the same (steps, workers, policy
  // and checkpointing may differ: they are not in `identity`). Without `resume`, a folder that holds a run is an error.
  static Result<RunFolder> open(const std::filesystem::path& root, const std::string& job_yaml,
                                const std::string& identity, std::vector<PipelineSpec> specs, bool resume);

  const std::filesystem::path& root() const { return root_; }
  static std::filesystem::path added_file(const std::filesystem::path& root) { return root / "added.yaml"; }
  std::filesystem::path checkpoint_root() const { return root_ / "checkpoints"; }
  // Newest complete checkpoint of each pipeline; step 0 and no folder where there is none.
  const std::vector<StartPoint>& start_points() const { return start_points_; }

  Status on_step(const StepReport& report) override;
  Status on_checkpoint(int pipeline, std::int64_t step, const std::string& folder) override;
  void on_sample(int, std::int64_t, int, int) override {}
  void on_tick() override {}
  Status on_added(const Addition& addition) override;
  Status write_summary(const RunSummary& summary) const;

 private:
  RunFolder(std::filesystem::path root, FolderLock lock, std::vector<PipelineSpec> specs)
      : root_(std::move(root)), lock_(std::move(lock)), specs_(std::move(specs)) {}
  Status cut_logs() const;

  std::filesystem::path root_;
  FolderLock lock_;  // one run at a time
  std::vector<PipelineSpec> specs_;
  std::vector<StartPoint> start_points_;
};

}  // namespace jigsaw
