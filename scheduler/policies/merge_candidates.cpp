#include "scheduler/policies/merge_candidates.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

namespace jigsaw {
namespace {

struct Tail {
  NodeRef ref;
  int worker = 0, count = 0, others = 0;  // others: sub-stages that compute there, too, or are ready to
  bool is_simulated = true;
};
using Tails = std::vector<Tail>;  // of one pipeline and step
using Merges = std::vector<std::pair<NodeRef, NodeRef>>;

class Candidates {
 public:
  Candidates(const Plan& plan, Clock::TimePoint now, const std::function<bool(int)>& is_simulated)
      : plan_(plan), is_wanted_(static_cast<std::size_t>(plan.num_workers()) + 1) {
    for (int pipeline = 0; pipeline < plan.num_pipelines() && pipelines_.size() < kMergingPipelinesMax; ++pipeline) {
      if (plan.done(pipeline) || plan.forecast(pipeline).tail.empty() || plan.forecast(pipeline).drifted) continue;
      const Window& window = plan.window(pipeline);
      for (std::int64_t step = window.first_step(); step <= window.last_step(); ++step)
        add_step(pipeline, step, now, is_simulated);
    }
  }

  std::vector<MergeCandidate> all() {
    for (const Tails& tails : pipelines_) of_one(tails);
    for (std::size_t i = 0; i < pipelines_.size(); ++i) {
      for (std::size_t j = i + 1; j < pipelines_.size(); ++j) of_two(pipelines_[i], pipelines_[j]);
    }
    return std::move(candidates_);
  }

 private:
  void add_step(int pipeline, std::int64_t step, Clock::TimePoint now, const std::function<bool(int)>& is_simulated) {
    if (!plan_.kind_started(pipeline, step, SubStageKind::kDecodeTail) ||
        plan_.num_open(pipeline, step, SubStageKind::kDecodeTail) == 0)
      return;
    Tails tails;
    const auto end = plan_.running().lower_bound({pipeline, step + 1, 0});
    for (auto entry = plan_.running().lower_bound({pipeline, step, 0}); entry != end; ++entry) {
      const NodeRef ref = *entry;
      const Node& node = plan_.node(ref);
      // The forecast of a tail is that of the last turn.
      if (node.kind != SubStageKind::kDecodeTail || node.turn + 1 != plan_.spec(pipeline).turns) continue;
      const auto sequences = plan_.sequences(ref, now);
      if (!sequences || sequences->running.count == 0 || plan_.is_merging(ref)) continue;
      int others = static_cast<int>(plan_.ready_on(node.worker).size());
      for (const NodeRef other : plan_.running_on(node.worker)) {
        others += other != ref && !is_wait(plan_.node(other).kind) ? 1 : 0;
      }
      if (others > 0) is_wanted_[place_of(ref)] = true;
      tails.push_back({ref, node.worker, sequences->running.count, others, is_simulated(node.worker)});
    }
    if (tails.size() > 1 && pipelines_.size() < kMergingPipelinesMax) pipelines_.push_back(std::move(tails));
  }

  static Tails by_worker(Tails tails) {
    std::sort(tails.begin(), tails.end(), [](const Tail& a, const Tail& b) { return a.worker < b.worker; });
    return tails;
  }
  static Tails reversed(Tails tails) {
    std::reverse(tails.begin(), tails.end());
    return tails;
  }

  // The number of sequences on the target, which has so many, with these; 0 = no room, or they were refused before.
  int joined(const Tail& to, int on_target, const Tail& from) const {
    if (!plan_.can_merge(from.ref, to.ref)) return 0;
    const PipelineSpec& spec = plan_.spec(from.ref.pipeline);
    const TailForecast& tail = plan_.forecast(from.ref.pipeline).tail;
    const int count = on_target + from.count;
    if (count >= spec.bins.tail_below) return 0;
    const double tokens = count * (tail.prompt_tokens + tail.lengths.longest());
    return spec.kv_tokens > 0 && tokens > static_cast<double>(spec.kv_tokens) ? 0 : count;
  }

  // The last half onto the first one, of those that are simulated and of the rest.
  Merges halves(const Tails& order) const {
    Merges merges;
    for (const bool simulated : {true, false}) {
      Tails part;
      std::copy_if(order.begin(), order.end(), std::back_inserter(part),
                   [&](const Tail& tail) { return tail.is_simulated == simulated; });
      for (std::size_t i = 0; i < part.size() / 2; ++i) {
        const Tail &from = part[part.size() - 1 - i], &to = part[i];
        if (joined(to, to.count, from) > 0) merges.emplace_back(from.ref, to.ref);
      }
    }
    return merges;
  }

  Merges all_onto_first(const Tails& order) const {
    Merges merges;
    int count = order.front().count;
    for (std::size_t i = 1; i < order.size(); ++i) {
      const int with = joined(order.front(), count, order[i]);
      if (with == 0) return {};
      count = with;
      merges.emplace_back(order[i].ref, order.front().ref);
    }
    return merges;
  }

  void add(Merges merges, const std::string& what) {
    const bool frees =
        std::any_of(merges.begin(), merges.end(), [&](const auto& merge) { return is_wanted_[place_of(merge.first)]; });
    if (!frees) return;
    std::string names;
    for (const auto& [from, to] : merges) {
      if (names.size() > 120) {
        names += ", ..";
        break;
      }
      names += fmt::format("{}{} {} into {}", names.empty() ? "" : ", ", plan_.spec(from.pipeline).name,
                           to_string(plan_.node(from)), to_string(plan_.node(to)));
    }
    candidates_.push_back({std::move(merges), what + names});
  }

  void of_one(const Tails& tails) {
    Tails order = tails;
    std::sort(order.begin(), order.end(), [](const Tail& a, const Tail& b) {
      return std::tuple(a.others, -a.count, a.worker) < std::tuple(b.others, -b.count, b.worker);
    });
    add(halves(order), "merge ");
    if (order.size() == 2) {
      add(halves(reversed(order)), "merge ");
      return;
    }
    // Of more workers than are simulated, half are merged at a time: a score of a few would not tell of the rest.
    if (std::any_of(order.begin(), order.end(), [](const Tail& tail) { return !tail.is_simulated; })) return;
    add(all_onto_first(order), "merge ");
    if (joined(order.front(), order.front().count, order.back()) > 0)
      add({{order.back().ref, order.front().ref}}, "merge ");
  }

  void of_two(const Tails& first, const Tails& second) {
    for (const bool is_reversed : {false, true}) {
      Merges merges = halves(is_reversed ? reversed(by_worker(first)) : by_worker(first));
      const Merges others = halves(is_reversed ? by_worker(second) : reversed(by_worker(second)));
      if (merges.empty() || others.empty()) continue;
      for (const auto& merge : others) merges.push_back(merge);
      add(std::move(merges), "merge both: ");
    }
  }

  std::size_t place_of(NodeRef ref) const { return static_cast<std::size_t>(plan_.node(ref).worker); }

  const Plan& plan_;
  std::vector<bool> is_wanted_;  // by worker: by more than one sub-stage
  std::vector<Tails> pipelines_;
  std::vector<MergeCandidate> candidates_;
};

}  // namespace

std::vector<MergeCandidate> merge_candidates(const Plan& plan, Clock::TimePoint now,
                                             const std::function<bool(int)>& is_simulated) {
  return Candidates(plan, now, is_simulated).all();
}

}  // namespace jigsaw
