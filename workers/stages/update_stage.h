// One optimizer update. A quantum is some layers of a micro-batch, a step of a long sample, or the optimizer step at
// the end. Exchanges are started and looked after in poll(): they talk over links and MPI.
//
//   kSplits --(own pairs of long samples)--> kSlots --(own slots summed)--> kSummed --> kExchange
//     kExchange --(whole gradient here)--> kApply --> kDone
//
// Long samples come first and one by one, in the same order on all workers that share some, so that none waits for
// another that waits for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
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
  ~UpdateStage() override;

  PipelineParts uses() const override {
    return runtime_.has_rollout_copy() ? PipelineParts::kTraining : PipelineParts::kAll;
  }
  Status poll() override;
  bool runnable() const override;
  Status run_quantum(Lane& lane) override;
  bool done() const override { return phase_ == Phase::kDone; }
  bool cancel() override { return false; }
  bool abandon() override;
  std::string waiting_for() const override;
  void fill(wire::NodeDone& done) override;

 private:
  enum class Phase { kSplits, kSlots, kSummed, kExchange, kApply, kDone };
  // Own pairs of a long sample.
  struct Split {
    std::uint32_t sample = 0;
    std::vector<std::uint32_t> owners;  // of all its pairs
    int first_leaf = 0;                 // of the slot tree: its pair 0
    SplitBatch batch;
    std::unique_ptr<SplitSample> training{};  // once begun
    bool is_shared = false;                   // others have some of its pairs
    bool is_released = false;                 // but for what they may still want
  };

  UpdateStage(PipelineRuntime& runtime, std::uint32_t worker, const wire::UpdateWork& work,
              std::vector<std::uint32_t> pair_owners, std::function<Status()> on_summed);
  void take_samples(const std::vector<int>& num_pairs, std::vector<TrainingSample> samples, BatchAdvantages advantages);
  bool is_own(std::size_t leaf) const { return work_.owners[leaf] == worker_; }
  void next_phase();
  void exchange_chunks(Split& split);
  void release_ended();
  void end_exchange_of_chunks();
  void add_losses(int place, const SlotResult& result);
  void keep_for_rollouts(Lane& lane);
  Status run_split_quantum(Lane& lane);
  void end_split(Lane& lane);
  Status run_slot_quantum(Lane& lane);
  void end_slot(Lane& lane);

  PipelineRuntime& runtime_;
  const std::uint32_t worker_;
  std::function<Status()> on_summed_;
  ExchangeWork work_;         // owners: of chunk pairs, then of slots
  int num_pairs_;             // of these
  std::deque<Split> splits_;  // own ones that are not done, the first of them under way
  bool split_is_runnable_ = true;
  bool needs_poll_ = false;         // before the next quantum
  bool shares_samples_ = false;     // some of these
  std::deque<Split> ended_;         // shared ones: others may still want what was made last
  std::map<int, SlotBatch> slots_;  // own ones that are not begun, by slot
  int current_slot_ = -1;
  SlotSum sum_;
  AlignedFloats gradient_;  // the whole one, after the exchange
  wire::UpdateStats stats_;
  Phase phase_ = Phase::kSplits;
  bool is_abandoned_ = false;
};

}  // namespace jigsaw
