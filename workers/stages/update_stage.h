// One optimizer update. A quantum is a micro-batch, or the optimizer step at the end. The exchange is started and
// looked after in poll(): it talks over MPI.
//
//   kSlots --(own slots summed)--> kSummed --> kExchange --(whole gradient here)--> kApply --> kDone
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/wire/messages.pb.h"
#include "workers/pipeline_runtime.h"
#include "workers/reduction/gradient_exchange.h"
#include "workers/reduction/slot_sum.h"
#include "workers/sub_stage.h"

namespace jigsaw {

class UpdateStage : public SubStage {
 public:
  // on_summed: called once, from poll(), when all that is left is to wait for peers; may be null.
  static Result<std::unique_ptr<UpdateStage>> create(PipelineRuntime& runtime, std::uint32_t worker,
                                                     const wire::UpdateWork& work,
                                                     std::function<Status()> on_summed = nullptr);

  PipelineParts uses() const override {
    return runtime_.has_rollout_copy() ? PipelineParts::kTraining : PipelineParts::kAll;
  }
  Status poll() override;
  bool runnable() const override { return phase_ == Phase::kSlots || phase_ == Phase::kApply; }
  Status run_quantum(Lane& lane) override;
  bool done() const override { return phase_ == Phase::kDone; }
  bool cancel() override { return false; }
  bool abandon() override;
  std::string waiting_for() const override {
    return phase_ == Phase::kExchange ? runtime_.exchange().waiting_for() : "";
  }
  void fill(wire::NodeDone& done) override {
    if (!is_abandoned_) *done.mutable_update() = stats_;
  }

 private:
  enum class Phase { kSlots, kSummed, kExchange, kApply, kDone };

  UpdateStage(PipelineRuntime& runtime, const wire::UpdateWork& work, std::function<Status()> on_summed);
  void keep_for_rollouts(Lane& lane);
  Status run_slot_quantum(Lane& lane);
  void end_slot(Lane& lane);

  PipelineRuntime& runtime_;
  std::function<Status()> on_summed_;
  ExchangeWork work_;
  std::map<int, SlotBatch> slots_;  // own ones that are not begun, by slot
  int current_slot_ = -1;
  SlotSum sum_;
  AlignedFloats gradient_;  // the whole one, after the exchange
  wire::UpdateStats stats_;
  Phase phase_ = Phase::kSlots;
  bool is_abandoned_ = false;
};

}  // namespace jigsaw
