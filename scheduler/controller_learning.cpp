// What the controller learns of sub-stages that have ended: what work costs alone, and what sub-stages cost each other.
#include <algorithm>

#include "scheduler/controller.h"

namespace jigsaw {
namespace {

// Shorter ones are mostly messages under way.
constexpr double kLearnFromS = 0.05;
// Beside others for less than this part of its time, a node counts as alone.
constexpr double kAloneUntil = 0.05;

double num_tokens(const wire::Trajectory& trajectory) {
  return static_cast<double>(trajectory.prompt_length()) + trajectory.logprobs_size();
}

}  // namespace

History Controller::make_history(int pipeline) const {
  const auto place = static_cast<std::size_t>(pipeline);
  return History(specs_[place].bins, costs_[place]);
}

// In any unit that is proportional to the time alone; 0 = not known, such as while samples are still decoded elsewhere.
double Controller::expected_work(NodeRef ref) {
  const Node& node = plan_.node(ref);
  const PipelineSpec& spec = plan_.spec(ref.pipeline);
  const StepState& step = step_state(ref.pipeline, ref.step);
  ModelCost cost = costs_[static_cast<std::size_t>(ref.pipeline)];
  if (cost.decode.empty()) cost.decode = {{.batch = 1, .seconds = 1}};
  double tokens = 0;
  switch (node.kind) {
    case SubStageKind::kSync:
    case SubStageKind::kCheckpoint: return 1;
    case SubStageKind::kPrefill:
      for (const std::uint32_t sample : node.samples) {
        if (!step.has_trajectory(sample)) return 0;
        tokens += step.trajectory(sample).prompt_length();
      }
      return tokens;
    case SubStageKind::kLogprob:
      for (const std::uint32_t sample : node.samples) tokens += num_tokens(step.trajectory(sample));
      return tokens;
    case SubStageKind::kUpdate: {
      const auto [begin, end] = update_samples(spec, node.update);
      for (std::uint32_t sample = begin; sample < end; ++sample) tokens += num_tokens(step.trajectory(sample));
      return cost.update_token_s > 0 ? cost.update_token_s * tokens / plan_.num_workers() + cost.optimizer_s : tokens;
    }
    case SubStageKind::kDecodeBulk:
    case SubStageKind::kDecodeTail: {
      std::vector<SequenceLeft> sequences;
      for (const std::uint32_t sample : rollout_samples(ref)) {
        if (!step.has_trajectory(sample)) return 0;
        const wire::Trajectory& trajectory = step.trajectory(sample);
        sequences.push_back({static_cast<double>(trajectory.prompt_length()), trajectory.logprobs_size()});
      }
      const DecodeWork work = decode_work(cost, std::move(sequences), spec.bins);
      return node.kind == SubStageKind::kDecodeBulk ? work.bulk.seconds : work.tail.seconds;
    }
    case SubStageKind::kTool:
    case SubStageKind::kReward: break;
  }
  return 0;
}

// Of the rollout that this node is part of.
const std::vector<std::uint32_t>& Controller::rollout_samples(NodeRef ref) const {
  const Graph& graph = plan_.window(ref.pipeline).graph(ref.step);
  while (graph.node(ref.node).continues) --ref.node;
  return graph.node(ref.node).samples;
}

void Controller::learn(const Dispatched& ended) {
  PipelineRun& run = pipelines_[static_cast<std::size_t>(ended.ref.pipeline)];
  if (ended.ref.step < run.learns_from_step) return;
  WorkScale& scale = run.work_scale;
  for (const Ran& ran : ended.ran) {
    const Node& node = plan_.node(ran.ref);
    const double together_s = ran.run.together_s(), seconds = together_s + ran.run.alone_s;
    if (is_wait(node.kind) || ran.work_s <= 0 || seconds < kLearnFromS) continue;
    // Where samples came or went on the way, the step's division of them does not tell what was done.
    if (is_rollout(node.kind) && run.moved.contains({ran.ref.step, node.worker})) continue;
    const double expected = expected_work(ran.ref);
    if (expected <= 0) continue;
    double work_s = ran.work_s;
    if (together_s < kAloneUntil * seconds) {
      scale.observe(node.kind, expected, work_s);
    } else if (const auto known = scale.work_s(node.kind, expected)) {
      work_s = *known;
    } else if (members_.at(ended.worker).num_threads > 1) {
      continue;  // what it would have taken on all cores is not known
    }
    co_runs_.observe(plan_, ran.ref, ran.run, work_s);
  }
}

}  // namespace jigsaw
