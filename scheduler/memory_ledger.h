// Who may run beside whom on a worker, by memory. All pipelines are resident on all workers; what their sub-stages
// need besides comes and goes.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/result.h"
#include "scheduler/plan.h"

namespace jigsaw {

class MemoryLedger {
 public:
  MemoryLedger() = default;  // no bound
  // limit: bytes of one worker; 0 = no bound.
  MemoryLedger(std::vector<MemoryNeeds> pipelines, std::size_t limit)
      : pipelines_(std::move(pipelines)), limit_(limit) {}

  // kResourceExhausted, with the numbers, when a pipeline can never run: all that is resident and its largest
  // sub-stage together exceed the limit.
  Status admit(const std::vector<std::string>& names) const;
  // Whether `candidate` fits beside what runs on its worker, and `added`, which is about to start there.
  bool fits(const Plan& plan, const std::vector<NodeRef>& added, NodeRef candidate) const;
  // Whether all these pipelines may train on one worker at the same time.
  bool can_train_together(const std::vector<int>& pipelines) const;
  // Of what runs on this worker.
  std::size_t bytes_used(const Plan& plan, int worker) const;
  std::size_t limit() const { return limit_; }

 private:
  std::size_t resident() const;
  std::size_t needed_by(int pipeline, SubStageKind kind) const;

  std::vector<MemoryNeeds> pipelines_;
  std::size_t limit_ = 0;
};

}  // namespace jigsaw
