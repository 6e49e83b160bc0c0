// The part of the controller that shares out an update's gradient slots (scheduler/controller.h). The samples of a slot
// and the order in which slots are added follow from the batch alone: who computes which is free.
#include <algorithm>
#include <numeric>

#include "core/log.h"
#include "graph/slot_samples.h"
#include "scheduler/controller.h"
#include "scheduler/slot_balance.h"

namespace jigsaw {

const Controller::UpdateShares& Controller::share_out(NodeRef update, const wire::UpdateWork& work) {
  PipelineRun& run = pipelines_[static_cast<std::size_t>(update.pipeline)];
  // Every participant must be told the same, whatever was learnt since the first of them.
  if (run.shares && run.shares->attempt == work.attempt()) return *run.shares;
  UpdateShares& shares = run.shares.emplace(UpdateShares{.attempt = work.attempt()});
  const int num_slots = plan_.spec(update.pipeline).grad_slots, num_workers = work.participants_size();
  std::vector<double> predicted_s;
  for (int slot = 0; slot < num_slots; ++slot) {
    TokenSums& sums = shares.samples.emplace_back();
    const auto [begin, end] = samples_of_slot(work.trajectories_size(), num_slots, slot);
    for (int sample = begin; sample < end; ++sample) sums.add(work.trajectories(sample).tokens_size());
    predicted_s.push_back(run.training_work.of(sums));
  }
  // Beside others at equal shares an update is held up by no more of their work than it has itself.
  std::vector<double> others_s;
  if (run.training_work.has_observed()) {
    const double even_s = std::accumulate(predicted_s.begin(), predicted_s.end(), 0.0) / num_workers;
    for (const PeerId worker : work.participants()) others_s.push_back(std::min(even_s, others_on(worker)));
  }
  const std::vector<std::uint32_t> owners = balanced_slot_owners(predicted_s, num_workers, others_s);
  log_debug("update.shared_out", "pipeline={} update={} workers={} imbalance={:.3f} equal_runs={:.3f}",
            plan_.spec(update.pipeline).name, work.update(), num_workers, imbalance(predicted_s, owners, num_workers),
            imbalance(predicted_s, slot_owners(num_slots, num_workers), num_workers));
  for (const std::uint32_t owner : owners) shares.owners.push_back(work.participants(static_cast<int>(owner) - 1));
  if (run.training_work.has_observed()) expect_shares(update, shares);
  return shares;
}

// What is under way on a worker, in seconds of work.
double Controller::others_on(PeerId worker) const {
  double sum_s = 0;
  for (const auto& [id, dispatched] : dispatched_) {
    if (dispatched.worker != worker || !dispatched.in_plan || plan_.done(dispatched.ref.pipeline)) continue;
    if (!is_wait(plan_.node(dispatched.ref).kind)) sum_s += plan_.remaining_s(dispatched.ref, clock_.now());
  }
  return sum_s;
}

// The nodes of this update take what training their slots does.
void Controller::expect_shares(NodeRef update, const UpdateShares& shares) {
  const Graph& graph = plan_.window(update.pipeline).graph(update.step);
  const int of = graph.node(update.node).update;
  const TrainingWork& work = pipelines_[static_cast<std::size_t>(update.pipeline)].training_work;
  for (int index = 0; index < static_cast<int>(graph.nodes().size()); ++index) {
    const Node& node = graph.node(index);
    if (node.kind != SubStageKind::kUpdate || node.update != of) continue;
    plan_.set_expected({update.pipeline, update.step, index},
                       work.constant() + work.of(trained_by(shares, peer_of(node.worker))));
  }
}

TokenSums Controller::trained_by(const UpdateShares& shares, PeerId worker) {
  TokenSums trained;
  for (std::size_t slot = 0; slot < shares.owners.size(); ++slot) {
    if (shares.owners[slot] != worker) continue;
    trained.tokens += shares.samples[slot].tokens;
    trained.squares += shares.samples[slot].squares;
  }
  return trained;
}

void Controller::observe_training(int pipeline, PeerId worker, double busy_s) {
  PipelineRun& run = pipelines_[static_cast<std::size_t>(pipeline)];
  if (run.shares) run.training_work.observe(trained_by(*run.shares, worker), busy_s);
}

}  // namespace jigsaw
