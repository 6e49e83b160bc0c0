// Writes a checkpoint, in one quantum. A checkpoint that cannot be written is a warning and not the end of the run: the
// one before it is still there.
#pragma once

#include <string>

#include "core/wire/messages.pb.h"
#include "workers/pipeline_runtime.h"
#include "workers/sub_stage.h"

namespace jigsaw {

class CheckpointStage : public SubStage {
 public:
  CheckpointStage(PipelineRuntime& runtime, wire::CheckpointWork work) : runtime_(runtime), work_(std::move(work)) {}

  Status poll() override { return ok_status(); }
  bool runnable() const override { return !done_; }
  Status run_quantum(Lane&) override {
    if (const Status status = runtime_.save_checkpoint(work_.folder(), work_.state_json()); !status.ok()) {
      warning_ = status.error().message();
    }
    done_ = true;
    return ok_status();
  }
  bool done() const override { return done_; }
  bool cancel() override { return false; }
  std::string waiting_for() const override { return ""; }
  void fill(wire::NodeDone& done) override { done.set_warning(warning_); }

 private:
  PipelineRuntime& runtime_;
  wire::CheckpointWork work_;
  std::string warning_;
  bool done_ = false;
};

}  // namespace jigsaw
