#include "scheduler/policies/admission.h"

#include <algorithm>
#include <set>

namespace jigsaw {

bool is_held(const Plan& plan, int pipeline) {
  const auto has_any = [pipeline](const std::set<NodeRef>& refs) {
    const auto first = refs.lower_bound({pipeline, 0, 0});
    return first != refs.end() && first->pipeline == pipeline;
  };
  return plan.is_paused(pipeline) && !has_any(plan.ready()) && !has_any(plan.running());
}

bool update_under_way(const Plan& plan, int pipeline) {
  if (plan.done(pipeline)) return false;
  const Window& window = plan.window(pipeline);
  for (std::int64_t step = window.first_step(); step <= window.last_step(); ++step) {
    if (plan.kind_started(pipeline, step, SubStageKind::kUpdate) &&
        plan.num_open(pipeline, step, SubStageKind::kUpdate) > 0)
      return true;
  }
  return false;
}

Admission::Admission(const Plan& plan, const Capacity& capacity, int corun_max)
    : plan_(&plan),
      capacity_(&capacity),
      corun_max_(corun_max),
      computing_(static_cast<std::size_t>(plan.num_workers()) + 1, 0),
      added_(static_cast<std::size_t>(plan.num_workers()) + 1),
      kept_for_gang_(static_cast<std::size_t>(plan.num_workers()) + 1) {
  for (const NodeRef ref : plan.running()) {
    const Node& node = plan.node(ref);
    if (!is_wait(node.kind)) ++computing_[static_cast<std::size_t>(node.worker)];
  }
  for (int pipeline = 0; pipeline < plan.num_pipelines(); ++pipeline) {
    if (update_under_way(plan, pipeline)) gangs_.push_back(pipeline);
  }
  if (gangs_.empty()) return;
  for (const NodeRef ref : plan.ready()) {
    if (waits_as_gang(ref) && !can_start(ref)) kept_for_gang_[static_cast<std::size_t>(plan.node(ref).worker)] = true;
  }
}

bool Admission::waits_as_gang(NodeRef ref) const {
  return plan_->node(ref).kind == SubStageKind::kUpdate && is_gang_member(ref.pipeline);
}

bool Admission::is_gang_member(int pipeline) const {
  return std::binary_search(gangs_.begin(), gangs_.end(), pipeline);
}

bool Admission::gang_has_room(int pipeline) const {
  if (static_cast<int>(gangs_.size()) >= corun_max_) return false;
  std::vector<int> all = gangs_;
  all.push_back(pipeline);
  return capacity_->memory.can_train_together(all);
}

bool Admission::can_start(NodeRef ref) const {
  const Node& node = plan_->node(ref);
  const auto worker = static_cast<std::size_t>(node.worker);
  if (computing_[worker] >= corun_max_ || !capacity_->memory.fits(*plan_, added_[worker], ref)) return false;
  if (waits_as_gang(ref)) return true;
  return !kept_for_gang_[worker] && (node.kind != SubStageKind::kUpdate || gang_has_room(ref.pipeline));
}

void Admission::add(NodeRef ref) {
  const Node& node = plan_->node(ref);
  ++computing_[static_cast<std::size_t>(node.worker)];
  added_[static_cast<std::size_t>(node.worker)].push_back(ref);
  if (node.kind == SubStageKind::kUpdate && !is_gang_member(ref.pipeline)) {
    gangs_.insert(std::upper_bound(gangs_.begin(), gangs_.end(), ref.pipeline), ref.pipeline);
  }
}

bool is_of_open_gang(const Plan& plan, NodeRef ref) {
  return plan.node(ref).kind == SubStageKind::kUpdate &&
         plan.kind_started(ref.pipeline, ref.step, SubStageKind::kUpdate);
}

std::vector<NodeRef> ready_in_order(const Plan& plan) {
  std::vector<NodeRef> ready(plan.ready().begin(), plan.ready().end());
  std::stable_partition(ready.begin(), ready.end(), [&](NodeRef ref) { return is_of_open_gang(plan, ref); });
  return ready;
}

}  // namespace jigsaw
