// The part of the controller that shares out an update's gradient slots (scheduler/controller.h). The samples of a slot
// and the order in which slots are added follow from the batch alone: who computes which is free.
#include <algorithm>
#include <numeric>

#include "core/log.h"
#include "core/wire/drawn_tokens.h"
#include "graph/chunk_pairs.h"
#include "graph/slot_samples.h"
#include "scheduler/controller.h"
#include "scheduler/slot_balance.h"

namespace jigsaw {

const Controller::UpdateShares& Controller::share_out(NodeRef update, const wire::UpdateWork& work) {
  PipelineRun& run = pipelines_[static_cast<std::size_t>(update.pipeline)];
  // Every participant must be told the same, whatever was learnt since the first of them.
  if (run.shares && run.shares->attempt == work.attempt()) return *run.shares;
  UpdateShares& shares = run.shares.emplace(UpdateShares{.attempt = work.attempt()});
  const PipelineSpec& spec = plan_.spec(update.pipeline);
  const int num_slots = spec.grad_slots, num_workers = work.participants_size();
  const std::vector<int> lengths = trained_lengths(work.trajectories());
  const std::vector<int> num_pairs = chunk_pairs(lengths, spec.split_tokens);
  for (std::size_t sample = 0; sample < lengths.size(); ++sample) {
    if (num_pairs[sample] == 0) continue;
    TokenSums sums;
    sums.add(lengths[sample]);
    const TokenSums of_pair{.tokens = sums.tokens / num_pairs[sample], .squares = sums.squares / num_pairs[sample]};
    shares.samples.insert(shares.samples.end(), static_cast<std::size_t>(num_pairs[sample]), of_pair);
  }
  shares.num_pairs = shares.samples.size();
  for (int slot = 0; slot < num_slots; ++slot) {
    TokenSums& sums = shares.samples.emplace_back();
    const auto [begin, end] = samples_of_slot(work.trajectories_size(), num_slots, slot);
    for (int sample = begin; sample < end; ++sample) {
      if (num_pairs[static_cast<std::size_t>(sample)] == 0) sums.add(work.trajectories(sample).tokens_size());
    }
  }
  std::vector<double> predicted_s;
  for (const TokenSums& sums : shares.samples) predicted_s.push_back(run.training_work.of(sums));
  // Beside others at equal shares an update is held up by no more of their work than it has itself.
  std::vector<double> others_s;
  if (run.training_work.has_observed()) {
    const double even_s = std::accumulate(predicted_s.begin(), predicted_s.end(), 0.0) / num_workers;
    for (const PeerId worker : work.participants()) others_s.push_back(std::min(even_s, others_on(worker)));
  }
  const auto of_pairs = std::span(predicted_s).first(shares.num_pairs);
  const auto of_slots = std::span(predicted_s).subspan(shares.num_pairs);
  const DealtUpdate dealt = deal_update(of_pairs, num_pairs, of_slots, num_workers, others_s);
  log_debug("update.shared_out", "pipeline={} update={} workers={} chunk_pairs={} imbalance={:.3f}", spec.name,
            work.update(), num_workers, shares.num_pairs, dealt.imbalance);
  for (const auto* owners : {&dealt.pair_owners, &dealt.slot_owners}) {
    for (const std::uint32_t owner : *owners) shares.owners.push_back(work.participants(static_cast<int>(owner) - 1));
  }
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
  for (std::size_t i = 0; i < shares.owners.size(); ++i) {
    if (shares.owners[i] != worker) continue;
    trained.tokens += shares.samples[i].tokens;
    trained.squares += shares.samples[i].squares;
  }
  return trained;
}

void Controller::observe_training(int pipeline, PeerId worker, double busy_s) {
  PipelineRun& run = pipelines_[static_cast<std::size_t>(pipeline)];
  if (run.shares) run.training_work.observe(trained_by(*run.shares, worker), busy_s);
}

}  // namespace jigsaw
