// Scores trajectories under the reference policy. A quantum is a pack of samples.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/wire/messages.pb.h"
#include "workers/pipeline_runtime.h"
#include "workers/sub_stage.h"

namespace jigsaw {

class LogprobStage : public SubStage {
 public:
  LogprobStage(PipelineRuntime& runtime, const wire::LogprobWork& work);

  PipelineParts uses() const override {
    return runtime_.has_rollout_copy() ? PipelineParts::kTraining : PipelineParts::kAll;
  }
  Status poll() override { return ok_status(); }
  bool runnable() const override { return !done(); }
  Status run_quantum(Lane& lane) override;
  bool done() const override { return next_ == samples_.size(); }
  bool cancel() override;
  std::string waiting_for() const override { return ""; }
  void fill(wire::NodeDone& done) override;

 private:
  PipelineRuntime& runtime_;
  std::vector<TrainingSample> samples_;
  std::vector<wire::Trajectory> scored_;  // one a sample: its index and ref_logprobs
  std::size_t next_ = 0;
};

}  // namespace jigsaw
