#include "scheduler/policies/lookahead.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "scheduler/policies/admission.h"
#include "scheduler/policies/greedy.h"
#include "scheduler/policies/merge_candidates.h"
#include "scheduler/policies/outlook.h"

namespace jigsaw {
namespace {

constexpr int kBeamWidth = 2;
// Groups that are looked at; the rest starts where there is room.
constexpr std::size_t kGroupsMax = 6;
// What is held idles now for a gain that is only predicted; it has to promise so much more.
constexpr double kHoldCost = 0.06;
// So does an uneven split, by its distance from equal shares: stragglers are predicted badly, and equal shares are
// wrong by the least.
constexpr double kUnevenCost = 0.05;
// Tails merge for a gain that rests on how long stragglers will be, and cannot be undone; it has to promise so much
// more.
constexpr double kMergeCost = 0.01;
// A change of shares has to promise so much more.
constexpr double kReshareGain = 1.005;
constexpr double kPenalty = 2.0;
constexpr double kSpeedsWeight = 0.1;

// A whole step of a pipeline by itself: its layers one after the other, each as long as on its slowest worker.
double step_alone_s(const Plan& plan, int pipeline) {
  std::map<std::pair<SubStageKind, int>, std::map<int, double>> layers;  // by first kind and update; by worker
  const Graph& graph = plan.window(pipeline).graph(plan.window(pipeline).last_step());
  for (int index = 0; index < static_cast<int>(graph.nodes().size()); ++index) {
    const Node& node = graph.node(index);
    const SubStageKind layer = is_rollout(node.kind) ? SubStageKind::kPrefill : node.kind;
    layers[{layer, node.update}][node.worker] += plan.forecast(pipeline).seconds_of(index);
  }
  double sum = 0;
  for (const auto& [layer, by_worker] : layers) {
    double longest = 0;
    for (const auto& [worker, seconds] : by_worker) longest = std::max(longest, seconds);
    sum += longest;
  }
  return sum;
}

// What is left of a pipeline's job, in seconds alone, and how fast it goes beside the others (1 = alone).
struct Rest {
  double work_s, speed;
};

// Work done a second until the last pipeline ends, if all keep their speeds; who ends leaves its speed to the others,
// as far as none is faster than alone.
double throughput_of_job(std::vector<Rest> rests) {
  double work_s = 0, speeds = 0, now_s = 0;
  for (const Rest& rest : rests) {
    work_s += rest.work_s;
    speeds += rest.speed;
  }
  double left = speeds;
  std::sort(rests.begin(), rests.end(),
            [](const Rest& a, const Rest& b) { return a.work_s / a.speed < b.work_s / b.speed; });
  for (std::size_t i = 0; i < rests.size(); ++i) {
    const auto speed_of = [&](const Rest& rest) { return std::min(1.0, rest.speed * speeds / left); };
    const double step_s = std::max(0.0, rests[i].work_s / speed_of(rests[i]));
    for (std::size_t j = i; j < rests.size(); ++j) rests[j].work_s -= step_s * speed_of(rests[j]);
    now_s += step_s;
    left = std::max(1e-9, left - rests[i].speed);
  }
  return now_s > 0 ? work_s / now_s : 0;
}

// Ready nodes that get the same move.
using Group = std::vector<NodeRef>;

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

class Search {
 public:
  Search(const Plan& plan, const Capacity& capacity, Clock::TimePoint now)
      : plan_(plan), capacity_(capacity), now_(now), outlook_(plan, capacity, now) {
    for (int pipeline = 0; pipeline < plan.num_pipelines(); ++pipeline) {
      alone_s_.push_back(plan.done(pipeline) ? 0 : outlook_.alone_s(pipeline));
      step_s_.push_back(plan.done(pipeline) ? 0 : step_alone_s(plan, pipeline));
    }
  }

  Decision decide() {
    Decision decision;
    const std::vector<Move> moves = place_ready_nodes(decision);
    if (capacity_.can_merge) merge_tails(moves, decision);
    change_shares(moves, decision);
    return decision;
  }

 private:
  struct Partial {
    std::vector<Move> moves;
    Admission admission;
    double score = 0, end_s = 0;
    double costs = 0;                                      // taken off for what is held, or split unevenly
    std::vector<std::pair<NodeRef, std::string>> reasons;  // beside the groups' first nodes
  };

  // Until the first window ends, for what comes after has fewer pipelines than there are. Of two, the other one runs
  // alone from then on, so that what it still takes is what it would take alone; of more, progress goes by work.
  double speed_of(const Prospect& prospect, int pipeline) const {
    const auto place = static_cast<std::size_t>(pipeline);
    const auto others =
        std::count_if(prospect.finish_s.begin(), prospect.finish_s.end(), [](double s) { return s > 0; });
    const double done_s = others <= 2 ? alone_s_[place] - (prospect.finish_s[place] - prospect.first_end_s)
                                      : alone_s_[place] * prospect.progress[place];
    return std::max(done_s / prospect.first_end_s, 1e-6);
  }

  double score(const Prospect& prospect) const {
    if (prospect.is_stuck) return -1e9;
    double penalties = 0, speeds = 0, weights = 0;
    std::vector<Rest> rests;
    for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
      const auto place = static_cast<std::size_t>(pipeline);
      const double finish_s = prospect.finish_s[place], alone_s = alone_s_[place];
      if (finish_s <= 0 || alone_s <= 0) continue;
      const PipelineSpec& spec = plan_.spec(pipeline);
      const auto window_steps = static_cast<double>(plan_.window(pipeline).last_step() - plan_.step(pipeline) + 1);
      const auto steps_after = static_cast<double>(spec.steps - plan_.window(pipeline).last_step());
      const double speed = speed_of(prospect, pipeline);
      rests.push_back({.work_s = alone_s + steps_after * step_s_[place], .speed = speed});
      speeds += spec.weight * speed;
      weights += spec.weight;
      if (spec.latency_cap > 0) penalties += std::max(0.0, 1 / (speed * spec.latency_cap) - 1);
      if (spec.deadline.count() > 0) {
        const double deadline_s = window_steps * std::chrono::duration<double>(spec.deadline).count();
        penalties += std::max(0.0, finish_s / deadline_s - 1);
      }
    }
    if (rests.empty()) return 0;
    return throughput_of_job(std::move(rests)) + kSpeedsWeight * speeds / weights - kPenalty * penalties;
  }

  struct Rating {
    double score = -1e9, end_s = 0;
  };

  // The better of both ways to go on after the first moves.
  Rating rate(const std::vector<Move>& moves, const Changes& changes = {}) const {
    Rating best;
    for (const BasePolicy base : {BasePolicy::kGreedy, BasePolicy::kExclusive}) {
      const Prospect prospect = outlook_.after(moves, base, changes);
      if (const double its_score = score(prospect); its_score > best.score + 1e-12)
        best = {.score = its_score, .end_s = prospect.end_s};
    }
    return best;
  }

  // Nodes that are alike on several workers go together: a barrier ties them, so that it takes one order on all workers
  // to get any of them through sooner.
  std::vector<Group> groups() const {
    const std::vector<NodeRef> ready = ready_in_order(plan_);
    std::vector<Group> groups;
    std::map<std::string, std::size_t> place_of;
    for (const NodeRef ref : ready) {
      const Node& node = plan_.node(ref);
      std::string key = fmt::format("{} {} {}", ref.pipeline, ref.step, static_cast<int>(node.kind));
      for (const NodeRef other : plan_.running_on(node.worker)) {
        key += fmt::format(" {}:{}", other.pipeline, static_cast<int>(plan_.node(other).kind));
      }
      const auto [entry, is_new] = place_of.try_emplace(key, groups.size());
      if (is_new) groups.emplace_back();
      groups[entry->second].push_back(ref);
    }
    return groups;
  }

  // Whether drift keeps this node from running beside what is on its worker.
  bool must_be_alone(NodeRef ref) const {
    if (plan_.forecast(ref.pipeline).drifted) return true;
    for (const NodeRef other : plan_.running_on(plan_.node(ref).worker)) {
      if (plan_.forecast(other.pipeline).drifted) return true;
    }
    return false;
  }

  bool is_starving(NodeRef ref) const {
    const double waited_s = std::chrono::duration<double>(now_ - plan_.ready_since(ref)).count();
    return waited_s > alone_s_[static_cast<std::size_t>(ref.pipeline)];
  }

  // The share by weight beside what runs on the worker, or is to start there.
  double fair_split(const Partial& partial, NodeRef ref) const {
    const int worker = plan_.node(ref).worker;
    const double own = plan_.spec(ref.pipeline).weight;
    double all = own;
    for (const NodeRef other : plan_.running_on(worker)) {
      if (!is_wait(plan_.node(other).kind)) all += plan_.spec(other.pipeline).weight;
    }
    for (const Move& move : partial.moves) {
      if (move.weight && plan_.node(move.node).worker == worker) all += plan_.spec(move.node.pipeline).weight;
    }
    return own / all;
  }

  struct Choice {
    std::optional<double> split;  // share of the worker beside what runs there; empty: hold
    std::string action;
  };

  std::vector<Choice> choices_for(const Partial& partial, NodeRef ref) const {
    const int worker = plan_.node(ref).worker;
    std::vector<Choice> choices;
    const bool can_start = partial.admission.can_start(ref);
    const int beside = partial.admission.num_computing(worker);
    if (can_start && beside == 0) {
      choices.push_back({1.0, "start with the worker to itself"});
    } else if (can_start && (is_of_open_gang(plan_, ref) || !must_be_alone(ref))) {
      const double fair = fair_split(partial, ref);
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

  Partial with(const Partial& partial, const Group& group, const Choice& choice) const {
    Partial next = partial;
    for (const NodeRef ref : group) {
      if (choice.split && next.admission.can_start(ref)) {
        double others = total_weight_on(plan_, plan_.node(ref).worker);
        for (const Move& move : next.moves) {
          if (move.weight && plan_.node(move.node).worker == plan_.node(ref).worker) others += *move.weight;
        }
        const double weight = others > 0 ? others * *choice.split / (1 - std::min(*choice.split, 0.99)) : 1.0;
        next.admission.add(ref);
        next.moves.push_back({ref, weight});
      } else {
        next.moves.push_back({ref, std::nullopt});
      }
    }
    const Rating rating = rate(next.moves);
    next.score = rating.score;
    next.end_s = rating.end_s;
    if (!choice.split) next.costs += kHoldCost;
    if (choice.split && *choice.split < 1)
      next.costs += kUnevenCost * std::abs(*choice.split - fair_split(partial, group.front()));
    next.score -= next.costs;
    return next;
  }

  // Returns the moves taken.
  std::vector<Move> place_ready_nodes(Decision& decision) {
    if (plan_.ready().empty()) return {};
    std::vector<Partial> beam;
    beam.push_back({.moves = {}, .admission = Admission(plan_, capacity_, capacity_.corun_max), .reasons = {}});
    const std::vector<Group> all = groups();
    std::map<NodeRef, std::vector<Option>> options_of;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const NodeRef first = all[i].front();
      std::vector<Partial> next;
      std::vector<Option>& options = options_of[first];
      for (const Partial& partial : beam) {
        std::vector<Choice> choices = choices_for(partial, first);
        if (i >= kGroupsMax) choices.resize(1);
        for (const Choice& choice : choices) {
          Partial candidate = with(partial, all[i], choice);
          if (&partial == &beam.front()) options.push_back({choice.action, candidate.end_s, candidate.score});
          candidate.reasons.emplace_back(first, choice.action);
          next.push_back(std::move(candidate));
        }
      }
      std::stable_sort(next.begin(), next.end(), [](const Partial& a, const Partial& b) { return a.score > b.score; });
      if (next.size() > kBeamWidth) next.erase(next.begin() + kBeamWidth, next.end());
      beam = std::move(next);
    }
    take(beam.front(), options_of, decision);
    return beam.front().moves;
  }

  void take(const Partial& best, std::map<NodeRef, std::vector<Option>>& options_of, Decision& decision) const {
    std::map<NodeRef, std::string> reason_of(best.reasons.begin(), best.reasons.end());
    std::string reason;
    Admission admission = best.admission;
    for (const Move& move : best.moves) {
      const int worker = plan_.node(move.node).worker;
      if (const auto found = reason_of.find(move.node); found != reason_of.end()) reason = found->second;
      std::vector<Option> options = std::move(options_of[move.node]);
      if (move.weight) {
        decision.start.push_back({.node = move.node,
                                  .share = *move.weight,
                                  .reason = reason + fmt::format(": best of {} by the look-ahead", options.size()),
                                  .options = std::move(options)});
      } else if (plan_.running_on(worker).empty() && admission.num_computing(worker) == 0 &&
                 admission.can_start(move.node)) {
        // It went along with a group whose other workers are busy.
        admission.add(move.node);
        decision.start.push_back({.node = move.node, .share = 1.0, .reason = "its worker has nothing else to do"});
      } else {
        const std::string others = runs_on(plan_, worker);
        decision.wait.push_back({.node = move.node,
                                 .reason = "waits for " + (others.empty() ? "others on its worker" : others),
                                 .options = std::move(options)});
      }
    }
  }

  void merge_tails(const std::vector<Move>& moves, Decision& decision) const {
    const std::vector<MergeCandidate> candidates =
        merge_candidates(plan_, now_, [&](int worker) { return outlook_.is_simulated(worker); });
    if (candidates.empty()) return;
    const Rating apart = rate(moves);
    std::vector<Option> options = {{"leave the tails where they are", apart.end_s, apart.score}};
    const MergeCandidate* best = nullptr;
    double best_score = apart.score;
    for (const MergeCandidate& candidate : candidates) {
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
  void change_shares(const std::vector<Move>& moves, Decision& decision) const {
    if (!decision.merge.empty()) return;  // they will be looked at when the workers are free
    std::map<std::string, std::vector<int>> workers_of;
    for (int worker = 1; worker <= plan_.num_workers(); ++worker) {
      const bool is_joined = std::any_of(moves.begin(), moves.end(), [&](const Move& move) {
        return move.weight && plan_.node(move.node).worker == worker;
      });
      if (is_joined) continue;
      std::string key;
      int computing = 0;
      for (const NodeRef ref : plan_.running_on(worker)) {
        computing += is_wait(plan_.node(ref).kind) ? 0 : 1;
        key += fmt::format(" {}:{}", ref.pipeline, static_cast<int>(plan_.node(ref).kind));
      }
      if (computing == 2 && plan_.running_on(worker).size() == 2) workers_of[key].push_back(worker);
    }
    if (workers_of.empty() || workers_of.size() > kGroupsMax) return;
    double best_score = score(outlook_.after(moves, BasePolicy::kGreedy));
    for (const auto& [key, workers] : workers_of) {
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
        const double its_score = score(outlook_.after(moves, BasePolicy::kGreedy, {.weights = weights}));
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
  const Outlook outlook_;
  std::vector<double> alone_s_;  // by pipeline: what is left of its window
  std::vector<double> step_s_;   // by pipeline: a whole step
};

// Before anything is known of a pipeline.
Decision start_all(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) {
  Decision decision = GreedyPolicy().choose(plan, capacity, now);
  for (DispatchChoice& choice : decision.start) choice.reason = "no step has ended yet to predict from";
  return decision;
}

}  // namespace

Decision LookaheadPolicy::choose(const Plan& plan, const Capacity& capacity, Clock::TimePoint now) const {
  if (plan.ready().empty() && plan.running().empty()) return {};
  for (int pipeline = 0; pipeline < plan.num_pipelines(); ++pipeline) {
    if (!plan.done(pipeline) && plan.forecast(pipeline).empty()) return start_all(plan, capacity, now);
  }
  return Search(plan, capacity, now).decide();
}

}  // namespace jigsaw
