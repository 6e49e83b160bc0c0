// The part of the controller that has tails merge (scheduler/controller.h): it tells one worker's rollout to hand its
// samples over to another's, and hears what came of it. Samples are counted by their index in the step wherever they
// end, so nothing here can lose or double one.
#include <algorithm>

#include "core/log.h"
#include "scheduler/controller.h"

namespace jigsaw {
namespace {

constexpr double kPauseWeight = 0.2;  // of the last merge's pause in what the next one is expected to cost

}  // namespace

Status Controller::merge(const MergeChoice& choice) {
  const auto id_of = [&](NodeRef ref) {
    return std::ranges::find_if(dispatched_,
                                [&](const auto& entry) { return entry.second.in_plan && entry.second.ref == ref; });
  };
  const auto from = id_of(choice.from), to = id_of(choice.to);
  CHECK(from != dispatched_.end() && to != dispatched_.end());
  plan_.begin_merge(choice.from, choice.to);
  log_info("rollout.merging", "pipeline={} step={} from={} into={} reason=\"{}\" options=\"{}\"",
           plan_.spec(choice.from.pipeline).name, choice.from.step, to_string(plan_.node(choice.from)),
           to_string(plan_.node(choice.to)), choice.reason, to_text(choice.options));
  wire::ToWorker message;
  message.mutable_move()->set_node(from->first);
  message.mutable_move()->set_to_worker(to->second.worker);
  message.mutable_move()->set_to_node(to->first);
  return send(from->second.worker, message);
}

Status Controller::on_progress(const wire::RolloutProgress& progress) {
  const auto found = dispatched_.find(progress.node());
  if (found == dispatched_.end()) return Error(ErrorCode::kCorrupt, "tells of a rollout that is not running");
  const NodeRef ref = found->second.ref;
  if (plan_.done(ref.pipeline) || plan_.node(ref).kind != SubStageKind::kDecodeTail) return ok_status();
  const RunningSequences running{.count = static_cast<int>(progress.running()), .tokens = progress.mean_tokens()};
  if (plan_.set_sequences(ref, running, clock_.now())) has_news_ = true;
  return ok_status();
}

Status Controller::on_moved(const wire::RolloutsMoved& moved) {
  const auto from = dispatched_.find(moved.node()), to = dispatched_.find(moved.to_node());
  if (from == dispatched_.end()) return ok_status();  // it had ended when its worker was told
  const NodeRef ref = from->second.ref;
  if (plan_.done(ref.pipeline)) return ok_status();
  if (!(moved.pause_s() >= 0 && moved.pause_s() < 3600)) {
    return Error(ErrorCode::kCorrupt, "moved rollouts with a pause that is no time");
  }
  log_info("rollout.moved", "pipeline={} step={} from_worker={} moved={} by_kv_copy={} left={} pause_s={:.4f}",
           plan_.spec(ref.pipeline).name, ref.step, from->second.worker, moved.samples_size(), moved.num_by_kv_copy(),
           moved.num_left(), moved.pause_s());
  num_moved_ += moved.samples_size();
  if (moved.samples_size() > 0) {
    capacity_.merge_s += kPauseWeight * (moved.pause_s() - capacity_.merge_s);
    auto& has_moved = pipelines_[static_cast<std::size_t>(ref.pipeline)].moved;
    has_moved.emplace(ref.step, plan_.node(ref).worker);
    if (to != dispatched_.end()) has_moved.emplace(ref.step, plan_.node(to->second.ref).worker);
  }
  if (moved.num_left() > 0 && plan_.node(ref).kind == SubStageKind::kDecodeTail) plan_.give_up_merge(ref);
  return ok_status();
}

// What the completions of a step say of the next steps' tails; before the step is finished.
void Controller::observe_completions(int pipeline, std::int64_t step) {
  PipelineRun& run = pipelines_[static_cast<std::size_t>(pipeline)];
  const Graph& graph = plan_.window(pipeline).graph(step);
  const StepState& state = step_state(pipeline, step);
  for (int index = 0; index < static_cast<int>(graph.nodes().size()); ++index) {
    const Node& node = graph.node(index);
    if (node.kind != SubStageKind::kDecodeTail || node.turn + 1 != plan_.spec(pipeline).turns) continue;
    std::vector<Completion> completions;
    for (const std::uint32_t sample : rollout_samples({pipeline, step, index})) {
      const wire::Trajectory& trajectory = state.trajectory(sample);
      completions.push_back({.tokens = static_cast<double>(trajectory.logprobs_size()),
                             .prompt_tokens = static_cast<double>(trajectory.prompt_length()),
                             .truncated = trajectory.truncated()});
    }
    const bool has_moved = run.moved.erase({step, node.worker}) > 0;
    if (!completions.empty()) run.history.observe_completions(step, index, completions, has_moved);
  }
}

}  // namespace jigsaw
