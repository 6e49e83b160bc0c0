#include "scheduler/policies/admission.h"

#include <algorithm>
#include <numeric>
#include <set>

namespace jigsaw {

bool is_held(const Plan& plan, int pipeline) {
  const auto has_any = [pipeline](const std::set<NodeRef>& refs) {
    const auto first = refs.lower_bound({pipeline, 0, 0});
    return first != refs.end() && first->pipeline == pipeline;
  };
  return plan.is_paused(pipeline) && !has_any(plan.ready()) && !has_any(plan.running());
}

Admission::Admission(const Plan& plan, const Capacity& capacity, int corun_max)
    : plan_(&plan),
      capacity_(&capacity),
      corun_max_(corun_max),
      gangs_(plan.updating()),
      gangs_under_way_(plan.updating()) {}

Admission::OnWorker& Admission::on(int worker) const {
  const auto [entry, is_new] = workers_.try_emplace(worker);
  OnWorker& found = entry->second;
  if (!is_new) return found;
  for (const NodeRef ref : plan_->running_on(worker)) found.computing += is_wait(plan_->node(ref).kind) ? 0 : 1;
  if (gangs_under_way_.empty()) return found;
  found.is_kept_for_gang = std::ranges::any_of(plan_->ready_on(worker), [&](NodeRef ref) {
    return plan_->node(ref).kind == SubStageKind::kUpdate &&
           std::binary_search(gangs_under_way_.begin(), gangs_under_way_.end(), ref.pipeline) && !has_room(found, ref);
  });
  return found;
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

bool Admission::has_room(const OnWorker& on, NodeRef ref) const {
  return on.computing < corun_max_ && capacity_->memory.fits(*plan_, on.added, ref);
}

bool Admission::can_start(NodeRef ref) const {
  const Node& node = plan_->node(ref);
  const OnWorker& worker = on(node.worker);
  if (!has_room(worker, ref)) return false;
  if (node.kind == SubStageKind::kUpdate && is_gang_member(ref.pipeline)) return true;
  return !worker.is_kept_for_gang && (node.kind != SubStageKind::kUpdate || gang_has_room(ref.pipeline));
}

void Admission::add(NodeRef ref) {
  const Node& node = plan_->node(ref);
  OnWorker& worker = on(node.worker);
  ++worker.computing;
  worker.added.push_back(ref);
  if (node.kind == SubStageKind::kUpdate && !is_gang_member(ref.pipeline)) {
    gangs_.insert(std::upper_bound(gangs_.begin(), gangs_.end(), ref.pipeline), ref.pipeline);
  }
}

bool is_of_open_gang(const Plan& plan, NodeRef ref) {
  return plan.node(ref).kind == SubStageKind::kUpdate &&
         plan.kind_started(ref.pipeline, ref.step, SubStageKind::kUpdate);
}

std::vector<int> workers_to_decide(const Plan& plan) {
  std::vector<int> workers = plan.touched();
  if (plan.num_workers() <= kAllWorkersMax) {
    workers.resize(static_cast<std::size_t>(plan.num_workers()));
    std::iota(workers.begin(), workers.end(), 1);
  }
  std::sort(workers.begin(), workers.end());
  return workers;
}

namespace {

std::vector<NodeRef> gangs_first(const Plan& plan, std::vector<NodeRef> ready) {
  std::stable_partition(ready.begin(), ready.end(), [&](NodeRef ref) { return is_of_open_gang(plan, ref); });
  return ready;
}

}  // namespace

std::vector<NodeRef> ready_in_order(const Plan& plan, const std::vector<int>& workers) {
  std::vector<NodeRef> ready;
  for (const int worker : workers) {
    ready.insert(ready.end(), plan.ready_on(worker).begin(), plan.ready_on(worker).end());
  }
  if (workers.size() > 1) std::sort(ready.begin(), ready.end());
  return gangs_first(plan, std::move(ready));
}

std::vector<NodeRef> all_ready_in_order(const Plan& plan) {
  return gangs_first(plan, {plan.ready().begin(), plan.ready().end()});
}

}  // namespace jigsaw
