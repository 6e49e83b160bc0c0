#include "scheduler/policies/lookahead.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "scheduler/policies/admission.h"
#include "scheduler/policies/greedy.h"
#include "scheduler/policies/merge_candidates.h"
#include "scheduler/policies/outlook.h"
#include "scheduler/policies/window_score.h"

namespace jigsaw {
namespace {

constexpr int kBeamWidth = 2;
// Groups that are looked at; the rest starts where there is room.
constexpr std::size_t kGroupsMax = 6;
// What is held idles now for a gain that is only predicted; it has to promise so much more.
constexpr double kHoldCost = 0.06;
// So does an uneven split, by its distance from equal shares: stragglers are predicted badly, and equal shares are
// wrong by the least. Not where a share that is not used goes to the others.
constexpr double kUnevenCost = 0.05;
// Tails merge for a gain that rests on how long stragglers will be, and cannot be undone; it has to promise so much
// more.
constexpr double kMergeCost = 0.01;
// A change of shares has to promise so much more.
constexpr double kReshareGain = 1.005;
// A weight follows from those beside it: where a worker is never empty it would shrink or grow with each that comes,
// until two of them could no longer be added up.
constexpr double kWeightMin = 1e-6, kWeightMax = 1e6;

// Simulated nodes that all sims of one decision may go through, which bounds its time; what is decided after that is
// decided as it would be if all scores were equal.
constexpr std::int64_t kSimulatedNodesMax = 40'000;
// On more workers than are simulated, where a decision is one of many.
constexpr std::int64_t kSimulatedNodesMaxOfMany = 3'000;
// Of more pipelines those count that have something to do where it is decided.
constexpr std::size_t kPipelinesMax = 8;

// Ready nodes on simulated workers that get the same move.
using Group = std::vector<NodeRef>;
// What makes nodes alike: their own pipeline, step and kind, and those that run on their worker.
using GroupKey = std::vector<std::int64_t>;

double total_weight_on(const Plan& plan, int worker) {
  double sum = 0;
  for (const NodeRef ref : plan.running_on(worker)) sum += is_wait(plan.node(ref).kind) ? 0 : plan.share(ref);
  return sum;
}

std::string name_of(const Plan& plan, NodeRef ref) {
  return plan.spec(ref.pipeline).name + " " + to_string(plan.node(ref));
}

std::string runs_on(const Plan& plan, int worker) {
  std::string names;
  for (const NodeRef ref : plan.running_on(worker)) names += (names.empty() ? "" : ", ") + name_of(plan, ref);
  return names;
}

// What is to start now, and with what weights.
class Placement {
 public:
  Placement(const Plan& plan, const Capacity& capacity)
      : plan_(&plan), admission_(plan, capacity, capacity.corun_max) {}

  const Admission& admission() const { return admission_; }
  // The share of the worker by the pipelines' weights, beside what runs there or is to start.
  double fair_split(NodeRef ref) const {
    const int worker = plan_->node(ref).worker;
    const double own = plan_->spec(ref.pipeline).weight;
    double all = own;
    for (const NodeRef other : plan_->running_on(worker)) {
      if (!is_wait(plan_->node(other).kind)) all += plan_->spec(other.pipeline).weight;
    }
    if (const auto added = added_.find(worker); added != added_.end()) all += added->second.pipeline_weights;
    return own / all;
  }
  // Returns its weight.
  double add(NodeRef ref, double split) {
    const int worker = plan_->node(ref).worker;
    Added& added = added_[worker];
    const double others = total_weight_on(*plan_, worker) + added.weights;
    const double beside_others = others * split / (1 - std::min(split, 0.99));
    const double weight = others > 0 ? std::clamp(beside_others, kWeightMin, kWeightMax) : 1.0;
    admission_.add(ref);
    added.weights += weight;
    added.pipeline_weights += plan_->spec(ref.pipeline).weight;
    return weight;
  }

 private:
  struct Added {
    double weights = 0, pipeline_weights = 0;
  };
  const Plan* plan_;  // outlives this
  Admission admission_;
  std::map<int, Added> added_;  // by worker
};

// Whether drift keeps this node from running beside what is on its worker.
bool must_be_alone(const Plan& plan, NodeRef ref) {
  if (plan.forecast(ref.pipeline).drifted) return true;
  return std::ranges::any_of(plan.running_on(plan.node(ref).worker),
                             [&](NodeRef other) { return plan.forecast(other.pipeline).drifted; });
}

// Whether it may run beside others.
bool may_join(const Plan& plan, NodeRef ref) { return is_of_open_gang(plan, ref) || !must_be_alone(plan, ref); }

// The node starts if it can, with the worker to itself or its fair share.
bool start_if_it_fits(const Plan& plan, NodeRef ref, Placement& placement, Decision& decision) {
  if (!placement.admission().can_start(ref)) return false;
  const bool is_first = placement.admission().num_computing(plan.node(ref).worker) == 0;
  if (!is_first && !may_join(plan, ref)) return false;
  const double split = is_first ? 1.0 : placement.fair_split(ref);
  decision.start.push_back({.node = ref,
                            .share = placement.add(ref, split),
                            .reason = is_first ? "its worker has nothing else to do" : "its fair share of the worker"});
  return true;
}

// Where none of the workers counts in a score.
Decision start_what_fits(const Plan& plan, const Capacity& capacity, const std::vector<int>& workers) {
  Decision decision;
  Placement placement(plan, capacity);
  for (const int worker : workers) {
    if (plan.ready_on(worker).empty() || placement.admission().num_computing(worker) >= capacity.corun_max) continue;
    for (const NodeRef ref : ready_in_order(plan, {worker})) {
      if (placement.admission().num_computing(worker) >= capacity.corun_max) break;
      start_if_it_fits(plan, ref, placement, decision);
    }
  }
  return decision;
}

std::vector<int> pipelines_in_view(const Plan& plan, const std::vector<int>& workers,
                                   const std::vector<int>& representatives) {
  std::vector<int> pipelines;
  const auto add = [&](int pipeline) {
    if (pipelines.size() == kPipelinesMax || std::ranges::find(pipelines, pipeline) != pipelines.end()) return;
    pipelines.push_back(pipeline);
  };
  for (const int worker : representatives) {
    for (const NodeRef ref : plan.running_on(worker)) add(ref.pipeline);
  }
  for (const int worker : workers) {
    for (const NodeRef ref : plan.ready_on(worker)) add(ref.pipeline);
  }
  for (int pipeline = 0; pipeline < plan.num_pipelines(); ++pipeline) {
    if (!plan.done(pipeline)) add(pipeline);
  }
  std::ranges::sort(pipelines);
  return pipelines;
}

class Search {
 public:
  Search(const Plan& plan, const Capacity& capacity, Clock::TimePoint now, std::vector<int> workers,
         const std::vector<int>& representatives)
      : plan_(plan),
        capacity_(capacity),
        now_(now),
        workers_(std::move(workers)),
        outlook_(plan, capacity, now, representatives, pipelines_in_view(plan, workers_, representatives)),
        score_(plan, outlook_),
        num_simulated_(outlook_.num_open()) {}

  Decision decide() {
    Decision decision;
    const std::vector<Move> moves = place_ready_nodes(decision);
    if (capacity_.can_merge) merge_tails(moves, decision);
    change_shares(moves, decision);
    return decision;
  }

 private:
  struct Choice {
    std::optional<double> split;  // share of the worker beside what runs there; empty: hold
    std::string action;
  };
  struct Partial {
    Placement placement;
    std::vector<Move> moves{};
    double rating = 0, end_s = 0;
    double costs = 0;               // taken off for what is held, or split unevenly
    std::vector<Choice> choices{};  // by group, of the first ones
    double score() const { return rating - costs; }
  };

  struct Rating {
    double score = -1e9, end_s = 0;
  };

  // Whether there is time for more.
  bool can_simulate() const {
    const bool are_all = plan_.num_workers() <= Outlook::kWorkersMax;
    return num_simulated_ < (are_all ? kSimulatedNodesMax : kSimulatedNodesMaxOfMany);
  }

  Prospect after(const std::vector<Move>& moves, BasePolicy base, const Changes& changes = {}) {
    num_simulated_ += outlook_.num_open();
    return outlook_.after(moves, base, changes);
  }

  // The better of both ways to go on after the first moves.
  Rating rate(const std::vector<Move>& moves, const Changes& changes = {}) {
    Rating best;
    for (const BasePolicy base : {BasePolicy::kGreedy, BasePolicy::kExclusive}) {
      const Prospect prospect = after(moves, base, changes);
      if (const double its_score = score_.of(prospect); its_score > best.score + 1e-12)
        best = {.score = its_score, .end_s = prospect.end_s};
    }
    return best;
  }

  bool is_in_view(int pipeline) const { return std::ranges::binary_search(outlook_.pipelines(), pipeline); }

  GroupKey key_of(NodeRef ref) const {
    const Node& node = plan_.node(ref);
    GroupKey key = {ref.pipeline, ref.step, static_cast<std::int64_t>(node.kind)};
    for (const NodeRef other : plan_.running_on(node.worker)) {
      key.push_back(other.pipeline);
      key.push_back(static_cast<std::int64_t>(plan_.node(other).kind));
    }
    return key;
  }

  // Nodes that are alike on several workers go together: a barrier ties them, so that it takes one order on all workers
  // to get any of them through sooner.
  std::vector<Group> make_groups() {
    std::vector<int> simulated;
    std::ranges::set_intersection(workers_, outlook_.workers(), std::back_inserter(simulated));
    std::vector<Group> groups;
    for (const NodeRef ref : ready_in_order(plan_, simulated)) {
      const auto [entry, is_new] = group_of_.try_emplace(key_of(ref), groups.size());
      if (is_new) groups.emplace_back();
      groups[entry->second].push_back(ref);
    }
    return groups;
  }

  bool is_starving(NodeRef ref) const {
    const double waited_s = std::chrono::duration<double>(now_ - plan_.ready_since(ref)).count();
    return waited_s > score_.alone_s(ref.pipeline);
  }

  std::vector<Choice> choices_for(const Partial& partial, NodeRef ref) const {
    const int worker = plan_.node(ref).worker;
    std::vector<Choice> choices;
    const Admission& admission = partial.placement.admission();
    const bool can_start = admission.can_start(ref);
    if (can_start && admission.num_computing(worker) == 0) {
      choices.push_back({1.0, "start with the worker to itself"});
    } else if (can_start && may_join(plan_, ref)) {
      const double fair = partial.placement.fair_split(ref);
      std::vector<double> splits = capacity_.splits;
      const auto is_near = [&](double split) { return std::abs(split - fair) < 0.02; };
      if (std::none_of(splits.begin(), splits.end(), is_near)) splits.push_back(fair);
      std::stable_sort(splits.begin(), splits.end(),
                       [&](double a, double b) { return std::abs(a - fair) < std::abs(b - fair); });
      const std::string others = runs_on(plan_, worker);
      for (const double split : splits) {
        choices.push_back(
            {split, fmt::format("start beside {} at {:.2f}", others.empty() ? "another" : others, split)});
      }
    }
    const bool may_hold = !capacity_.is_work_conserving && !is_of_open_gang(plan_, ref) && !is_starving(ref);
    if (choices.empty() || may_hold) choices.push_back({std::nullopt, "hold until something ends on its worker"});
    return choices;
  }

  Partial with(const Partial& partial, const Group& group, const Choice& choice) {
    Partial next = partial;
    if (!choice.split) next.costs += kHoldCost;
    if (choice.split && *choice.split < 1 && !capacity_.is_work_conserving)
      next.costs += kUnevenCost * std::abs(*choice.split - partial.placement.fair_split(group.front()));
    for (const NodeRef ref : group) {
      const bool starts = choice.split && next.placement.admission().can_start(ref);
      next.moves.push_back({ref, starts ? std::optional(next.placement.add(ref, *choice.split)) : std::nullopt});
    }
    next.choices.push_back(choice);
    const Rating rating = rate(next.moves);
    next.rating = rating.score;
    next.end_s = rating.end_s;
    return next;
  }

  // Returns the moves of simulated nodes.
  std::vector<Move> place_ready_nodes(Decision& decision) {
    const std::vector<Group> groups = make_groups();
    std::vector<Partial> beam;
    beam.push_back({.placement = Placement(plan_, capacity_)});
    std::vector<std::vector<Option>> options(groups.size());
    for (std::size_t i = 0; i < std::min(groups.size(), kGroupsMax) && can_simulate(); ++i) {
      std::vector<Partial> next;
      for (const Partial& partial : beam) {
        for (const Choice& choice : choices_for(partial, groups[i].front())) {
          next.push_back(with(partial, groups[i], choice));
          if (&partial == &beam.front()) options[i].push_back({choice.action, next.back().end_s, next.back().score()});
        }
      }
      std::stable_sort(next.begin(), next.end(),
                       [](const Partial& a, const Partial& b) { return a.score() > b.score(); });
      if (next.size() > kBeamWidth) next.erase(next.begin() + kBeamWidth, next.end());
      beam = std::move(next);
    }
    return take(groups, beam.front().choices, std::move(options), decision);
  }

  std::vector<Move> take(const std::vector<Group>& groups, const std::vector<Choice>& choices,
                         std::vector<std::vector<Option>> options, Decision& decision) const {
    Placement placement(plan_, capacity_);
    std::vector<WaitChoice> waiting;
    for (std::size_t i = 0; i < groups.size(); ++i) {
      for (const NodeRef ref : groups[i]) {
        const std::size_t num_before = decision.start.size();
        if (i >= choices.size()) {
          start_if_it_fits(plan_, ref, placement, decision);
        } else if (choices[i].split && placement.admission().can_start(ref)) {
          decision.start.push_back({.node = ref,
                                    .share = placement.add(ref, *choices[i].split),
                                    .reason = choices[i].action + best_of(options[i].size())});
        }
        // They are told with the group's first node.
        std::vector<Option> its_options = ref == groups[i].front() ? options[i] : std::vector<Option>();
        if (decision.start.size() > num_before) {
          decision.start.back().options = std::move(its_options);
        } else {
          waiting.push_back({.node = ref, .reason = "", .options = std::move(its_options)});
        }
      }
    }
    std::vector<Move> moves;
    for (const DispatchChoice& choice : decision.start) moves.push_back({choice.node, choice.share});
    for (WaitChoice& wait : waiting) {
      moves.push_back({wait.node, std::nullopt});
      const int worker = plan_.node(wait.node).worker;
      // It may have gone along with a group whose other workers are busy.
      const bool is_idle = plan_.running_on(worker).empty() && placement.admission().num_computing(worker) == 0;
      if (is_idle && start_if_it_fits(plan_, wait.node, placement, decision)) {
        moves.back().weight = decision.start.back().share;
        continue;
      }
      const std::string others = runs_on(plan_, worker);
      wait.reason = "waits for " + (others.empty() ? "others on its worker" : others);
      decision.wait.push_back(std::move(wait));
    }
    follow(choices, placement, decision);
    return moves;
  }

  // Workers that are not simulated do as those that are alike.
  void follow(const std::vector<Choice>& choices, Placement& placement, Decision& decision) const {
    for (const int worker : workers_) {
      if (outlook_.is_simulated(worker) || plan_.ready_on(worker).empty()) continue;
      for (const NodeRef ref : ready_in_order(plan_, {worker})) {
        const int computing = placement.admission().num_computing(worker);
        if (computing >= capacity_.corun_max) break;
        const auto group = is_in_view(ref.pipeline) ? group_of_.find(key_of(ref)) : group_of_.end();
        const Choice* const choice =
            group != group_of_.end() && group->second < choices.size() ? &choices[group->second] : nullptr;
        if (choice == nullptr || computing == 0) {
          start_if_it_fits(plan_, ref, placement, decision);
        } else if (choice->split && placement.admission().can_start(ref)) {
          decision.start.push_back({.node = ref,
                                    .share = placement.add(ref, std::min(*choice->split, 0.99)),
                                    .reason = choice->action + ", as on a worker that is alike"});
        }
      }
    }
  }

  static std::string best_of(std::size_t num_options) {
    return num_options > 1 ? fmt::format(": best of {} by the look-ahead", num_options) : "";
  }

  void merge_tails(const std::vector<Move>& moves, Decision& decision) {
    const std::vector<MergeCandidate> candidates =
        merge_candidates(plan_, now_, [&](int worker) { return outlook_.is_simulated(worker); });
    if (candidates.empty()) return;
    const Rating apart = rate(moves);
    std::vector<Option> options = {{"leave the tails where they are", apart.end_s, apart.score}};
    const MergeCandidate* best = nullptr;
    double best_score = apart.score;
    for (const MergeCandidate& candidate : candidates) {
      if (!can_simulate()) break;
      const Rating rating = rate(moves, {.merges = candidate.merges});
      const double its_score = rating.score - kMergeCost;
      options.push_back({candidate.action, rating.end_s, its_score});
      if (its_score <= best_score) continue;
      best_score = its_score;
      best = &candidate;
    }
    if (best == nullptr) return;
    for (const auto& [from, to] : best->merges) {
      decision.merge.push_back(
          {.from = from,
           .to = to,
           .reason = best->action + fmt::format(": best of {} by the look-ahead", options.size())});
    }
    decision.merge.front().options = std::move(options);
  }

  // Splits of pairs that run already, where nothing joins or leaves them; alike pairs on several workers change
  // together.
  void change_shares(const std::vector<Move>& moves, Decision& decision) {
    if (!decision.merge.empty()) return;  // they will be looked at when the workers are free
    std::set<int> joined;
    for (const DispatchChoice& choice : decision.start) joined.insert(plan_.node(choice.node).worker);
    std::map<GroupKey, std::vector<int>> workers_of;
    GroupKey key;
    for (const int worker : workers_) {
      const std::vector<NodeRef>& running = plan_.running_on(worker);
      const auto computes = [&](NodeRef ref) {
        return !is_wait(plan_.node(ref).kind) && !plan_.waits_for_peers(ref) && is_in_view(ref.pipeline);
      };
      if (running.size() != 2 || joined.contains(worker) || !std::ranges::all_of(running, computes)) continue;
      key.clear();
      for (const NodeRef ref : running) {
        key.push_back(ref.pipeline);
        key.push_back(static_cast<std::int64_t>(plan_.node(ref).kind));
      }
      workers_of[key].push_back(worker);
    }
    std::erase_if(workers_of, [&](const auto& entry) {
      return std::ranges::none_of(entry.second, [&](int worker) { return outlook_.is_simulated(worker); });
    });
    if (workers_of.empty() || workers_of.size() > kGroupsMax || !can_simulate()) return;
    double best_score = score_.of(after(moves, BasePolicy::kGreedy));
    for (const auto& [pair_key, workers] : workers_of) {
      if (!can_simulate()) return;
      const double score_before = best_score;
      std::vector<ShareChange> best;
      for (const double split : capacity_.splits) {
        std::vector<std::pair<NodeRef, double>> weights;
        std::vector<ShareChange> changes;
        for (const int worker : workers) {
          const auto& pair = plan_.running_on(worker);
          for (int side = 0; side < 2; ++side) {
            const double share = side == 0 ? split : 1 - split;
            weights.emplace_back(pair[static_cast<std::size_t>(side)], share);
            changes.push_back({.node = pair[static_cast<std::size_t>(side)],
                               .share = share,
                               .reason = fmt::format("{:.2f} to {:.2f} ends the window sooner", split, 1 - split)});
          }
        }
        const double its_score = score_.of(after(moves, BasePolicy::kGreedy, {.weights = weights}));
        if (its_score > std::max(score_before * kReshareGain, best_score)) {
          best_score = its_score;
          best = std::move(changes);
        }
      }
      decision.reshare.insert(decision.reshare.end(), best.begin(), best.end());
    }
  }

  const Plan& plan_;
  const Capacity& capacity_;
  const Clock::TimePoint now_;
  const std::vector<int> workers_;  // that are decided about
  const Outlook outlook_;
  const WindowScore score_;
  std::int64_t num_simulated_;  // nodes
  std::map<GroupKey, std::size_t> group_of_;
};

// Before anything is known of a pipeline. Where whoever waits leaves its time slices to the others, who came first has
// the precedence: pipelines that begin together would otherwise stay in step, and compute and wait at the same times.
Decision start_all(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) {
  Decision decision = GreedyPolicy().choose(plan, capacity, now);
  Placement placement(plan, capacity);
  for (DispatchChoice& choice : decision.start) {
    choice.reason = "no step has ended yet to predict from";
    if (!capacity.is_work_conserving) continue;
    const bool is_first = placement.admission().num_computing(plan.node(choice.node).worker) == 0;
    choice.share = placement.add(choice.node, is_first ? 1.0 : capacity.splits.front());
  }
  return decision;
}

}  // namespace

Decision LookaheadPolicy::choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) const {
  if (plan.ready().empty() && plan.running().empty()) return {};
  for (int pipeline = 0; pipeline < plan.num_pipelines(); ++pipeline) {
    if (!plan.done(pipeline) && plan.forecast(pipeline).empty()) return start_all(plan, capacity, now);
  }
  std::vector<int> workers = workers_to_decide(plan);
  const std::vector<int> representatives = Outlook::representatives(plan);
  const bool counts =
      std::ranges::any_of(representatives, [&](int worker) { return std::ranges::binary_search(workers, worker); });
  if (!counts) return start_what_fits(plan, capacity, workers);
  return Search(plan, capacity, now, std::move(workers), representatives).decide();
}

}  // namespace jigsaw
