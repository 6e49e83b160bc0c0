#include "scheduler/co_run.h"

#include <algorithm>

#include "core/check.h"

namespace jigsaw {

double CoRun::together_s() const {
  double sum = 0;
  for (const Interval& interval : together) sum += interval.seconds;
  return sum;
}

CoRuns::CoRuns(SlowdownTable& table, int num_workers) : table_(table) { restart(num_workers); }

void CoRuns::restart(int num_workers) {
  workers_.assign(static_cast<std::size_t>(num_workers) + 1, {});
  layers_.clear();
}

void CoRuns::note(OnWorker& on, Clock::TimePoint now) {
  const double passed_s = std::chrono::duration<double>(now - on.since).count();
  on.since = now;
  if (passed_s <= 0) return;
  for (Running& of : on.running) {
    if (is_wait(of.kind)) continue;
    others_.clear();
    for (const Running& other : on.running) {
      if (&other != &of && !is_wait(other.kind)) others_.push_back({other.kind, of.share / (of.share + other.share)});
    }
    if (others_.empty()) {
      of.run.alone_s += passed_s;
    } else if (!of.run.together.empty() && of.run.together.back().others == others_) {
      of.run.together.back().seconds += passed_s;
    } else {
      of.run.together.push_back({others_, passed_s});
    }
  }
}

void CoRuns::update(Plan& plan, int worker, Clock::TimePoint now) {
  OnWorker& on = workers_[static_cast<std::size_t>(worker)];
  note(on, now);
  std::swap(before_, on.running);
  on.running.clear();
  kinds_.clear();
  shares_.clear();
  for (const NodeRef ref : plan.running_on(worker)) {
    const auto known =
        std::find_if(before_.begin(), before_.end(), [&](const Running& running) { return running.ref == ref; });
    kinds_.push_back(plan.node(ref).kind);
    shares_.push_back(plan.share(ref));
    on.running.push_back({ref, kinds_.back(), shares_.back(), {}});
    if (known == before_.end()) continue;
    on.running.back().run = std::move(known->run);
    before_.erase(known);
  }
  rates_.resize(kinds_.size());
  table_.fill_rates(kinds_, shares_, rates_);
  for (std::size_t i = 0; i < rates_.size(); ++i) plan.set_rate(on.running[i].ref, rates_[i], now);
}

CoRun CoRuns::end(int worker, NodeRef ref, Clock::TimePoint now) {
  OnWorker& on = workers_[static_cast<std::size_t>(worker)];
  note(on, now);
  const auto found =
      std::find_if(on.running.begin(), on.running.end(), [&](const Running& of) { return of.ref == ref; });
  if (found == on.running.end()) return {};  // it has begun at this very moment
  CoRun run = std::move(found->run);
  on.running.erase(found);
  return run;
}

double CoRuns::slowdown(SubStageKind kind, const std::vector<CoRun::Other>& others) const {
  double factor = 1;
  for (const CoRun::Other& other : others) factor += table_.factors(kind, other.kind, other.share).first - 1;
  return factor;
}

void CoRuns::observe(const Plan& plan, NodeRef ref, const CoRun& run, double work_s) {
  const Node& node = plan.node(ref);
  if (is_wait(node.kind) || work_s <= 0) return;
  Account account{.kind = node.kind, .run = run, .work_s = work_s};
  for (const CoRun::Interval& interval : run.together) {
    account.predicted_s += interval.seconds / slowdown(node.kind, interval.others);
  }
  if (node.kind != SubStageKind::kUpdate) {
    learn(account);
    return;
  }
  // Layers that were never whole, because a worker was lost, go with their step.
  layers_.erase(layers_.lower_bound({ref.pipeline, 0, 0}),
                layers_.lower_bound({ref.pipeline, plan.step(ref.pipeline), 0}));
  const auto entry = layers_.try_emplace({ref.pipeline, ref.step, node.update}).first;
  Layer& layer = entry->second;
  if (layer.num_ended == 0 || account.surplus() < layer.least.surplus()) layer.least = std::move(account);
  if (++layer.num_ended < plan.num_workers()) return;
  learn(layer.least);
  layers_.erase(entry);
}

void CoRuns::learn(const Account& account) {
  const double left_s = account.work_s - account.run.alone_s;
  if (account.run.together.empty() || left_s < kPartMin * account.work_s) return;
  const double ratio = account.predicted_s / left_s;
  for (const CoRun::Interval& interval : account.run.together) {
    const double part = interval.seconds / slowdown(account.kind, interval.others) / account.predicted_s;
    const double weight = kWeight * part * left_s / account.work_s / static_cast<double>(interval.others.size());
    for (const CoRun::Other& other : interval.others) {
      table_.observe(account.kind, other.kind, other.share, ratio, std::min(1.0, weight));
    }
  }
}

}  // namespace jigsaw
