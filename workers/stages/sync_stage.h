// Keeps the trained weights of a given version for rollouts. One quantum: a copy in memory. The plan sees to it that no
// rollout reads what it replaces.
#pragma once

#include <cstdint>
#include <string>

#include "core/wire/messages.pb.h"
#include "workers/pipeline_runtime.h"
#include "workers/sub_stage.h"

namespace jigsaw {

class SyncStage : public SubStage {
 public:
  SyncStage(PipelineRuntime& runtime, const wire::SyncWork& work)
      : runtime_(runtime), version_(work.policy_version()) {}

  PipelineParts uses() const override { return PipelineParts::kTraining; }
  Status poll() override { return ok_status(); }
  bool runnable() const override { return !done_; }
  Status run_quantum(Lane& lane) override {
    runtime_.sync_rollout_weights(lane, version_);
    done_ = true;
    return ok_status();
  }
  bool done() const override { return done_; }
  bool cancel() override { return false; }
  std::string waiting_for() const override { return ""; }
  void fill(wire::NodeDone&) override {}

 private:
  PipelineRuntime& runtime_;
  std::int64_t version_;
  bool done_ = false;
};

}  // namespace jigsaw
