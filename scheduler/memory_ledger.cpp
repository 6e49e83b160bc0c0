#include "scheduler/memory_ledger.h"

#include <algorithm>
#include <cstdio>

namespace jigsaw {
namespace {

std::string size_text(std::size_t bytes) {
  char text[32];
  const auto value = static_cast<double>(bytes);
  if (bytes < std::size_t{100} << 20) {
    std::snprintf(text, sizeof text, "%.3g MB", value / (1 << 20));
  } else {
    std::snprintf(text, sizeof text, "%.2f GB", value / (1 << 30));
  }
  return text;
}

}  // namespace

std::size_t MemoryLedger::resident() const {
  std::size_t sum = 0;
  for (const MemoryNeeds& needs : pipelines_) sum += needs.resident;
  return sum;
}

std::size_t MemoryLedger::needed_by(int pipeline, SubStageKind kind) const {
  const MemoryNeeds& needs = pipelines_[static_cast<std::size_t>(pipeline)];
  if (is_rollout(kind)) return needs.rollout;
  return kind == SubStageKind::kLogprob || kind == SubStageKind::kUpdate ? needs.training : 0;
}

Status MemoryLedger::admit(const std::vector<std::string>& names) const {
  if (limit_ == 0) return ok_status();
  for (std::size_t i = 0; i < pipelines_.size(); ++i) {
    const std::size_t largest = std::max(pipelines_[i].rollout, pipelines_[i].training);
    if (resident() + largest <= limit_) continue;
    return Error(
        ErrorCode::kResourceExhausted,
        "pipeline '" + names[i] + "' can never run: weights, references and optimizers of all pipelines take " +
            size_text(resident()) + " of a worker's " + size_text(limit_) + ", and its " +
            (pipelines_[i].rollout > pipelines_[i].training ? "rollout (KV cache) " : "training ") + "needs " +
            size_text(largest) +
            " more; lower rollout.kv_mb or train.micro_batch_tokens, set train.recompute_activations, or raise "
            "memory_gb_per_worker");
  }
  return ok_status();
}

std::size_t MemoryLedger::bytes_used(const Plan& plan, int worker) const {
  std::size_t bytes = resident();
  for (const NodeRef ref : plan.running_on(worker)) bytes += needed_by(ref.pipeline, plan.node(ref).kind);
  return bytes;
}

bool MemoryLedger::fits(const Plan& plan, const std::vector<NodeRef>& added, NodeRef candidate) const {
  if (limit_ == 0) return true;
  const Node& node = plan.node(candidate);
  std::size_t bytes = bytes_used(plan, node.worker) + needed_by(candidate.pipeline, node.kind);
  for (const NodeRef ref : added) bytes += needed_by(ref.pipeline, plan.node(ref).kind);
  return bytes <= limit_;
}

bool MemoryLedger::can_train_together(const std::vector<int>& pipelines) const {
  if (limit_ == 0) return true;
  std::size_t bytes = resident();
  for (const int pipeline : pipelines) bytes += pipelines_[static_cast<std::size_t>(pipeline)].training;
  return bytes <= limit_;
}

}  // namespace jigsaw
