#include "scheduler/slot_balance.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "core/check.h"
#include "graph/graph.h"

namespace jigsaw {
namespace {

constexpr double kWorthwhile = 0.02;  // of the busiest worker's work: for what more sums to exchange cost
constexpr double kNegligible = 1e-9;  // of all work: gains below it are rounding
constexpr double kDominates = 1.1;    // of a worker's even share: a sample that is worth sharing, for all its messages
constexpr int kStepsMax = 2000;       // of the search; each makes the busiest worker's work less

// An assignment of runs of slots under change.
class Assignment {
 public:
  // slot_owners: of each slot; those of a run get the owner of its first. others: by worker, [0] unused.
  Assignment(std::span<const double> slot_work, std::span<const int> runs, std::vector<double> others,
             std::vector<std::uint32_t> slot_owners)
      : owners_(std::move(slot_owners)),
        loads_(std::move(others)),
        bound_(held_sums_max(static_cast<int>(owners_.size()))) {
    std::size_t slot = 0;
    for (const int length : runs) {
      runs_.push_back({slot, static_cast<std::size_t>(length), 0.0});
      for (int i = 0; i < length; ++i, ++slot) {
        runs_.back().work += slot_work[slot];
        owners_[slot] = owners_[runs_.back().begin];
      }
      loads_[owner_of(runs_.size() - 1)] += runs_.back().work;
    }
    CHECK(slot == slot_work.size() && slot == owners_.size());
  }

  const std::vector<std::uint32_t>& owners() const { return owners_; }
  double busiest_load() const { return *std::max_element(loads_.begin() + 1, loads_.end()); }
  bool is_allowed() const {
    for (std::uint32_t worker = 1; worker < loads_.size(); ++worker) {
      if (!is_allowed(worker)) return false;
    }
    return true;
  }

  // Moves or swaps runs of the busiest worker while that makes the higher of the two loads less; the best first.
  void improve() {
    double all = 0;
    for (const Run& run : runs_) all += run.work;
    for (int step = 0; step < kStepsMax; ++step) {
      const auto busiest =
          static_cast<std::uint32_t>(std::max_element(loads_.begin() + 1, loads_.end()) - loads_.begin());
      Change best;
      best.higher_load = loads_[busiest] - kNegligible * all;
      for (std::size_t run = 0; run < runs_.size(); ++run) {
        if (owner_of(run) != busiest) continue;
        for (std::uint32_t worker = 1; worker < loads_.size(); ++worker) {
          if (worker != busiest) consider(run, kNoRun, worker, best);
        }
        for (std::size_t other = 0; other < runs_.size(); ++other) {
          if (owner_of(other) != busiest) consider(run, other, owner_of(other), best);
        }
      }
      if (best.run == kNoRun) return;
      apply(best);
    }
  }

 private:
  static constexpr std::size_t kNoRun = static_cast<std::size_t>(-1);
  struct Run {
    std::size_t begin, length;  // slots
    double work;
  };
  struct Change {
    std::size_t run = kNoRun, other = kNoRun;  // `run` to `worker`, `other`, if any, to the owner of `run`
    std::uint32_t worker = 0;
    double higher_load = 0;  // of the two workers, after it
  };

  std::uint32_t owner_of(std::size_t run) const { return owners_[runs_[run].begin]; }
  void set_owner(std::size_t run, std::uint32_t worker) {
    std::fill_n(owners_.begin() + static_cast<std::ptrdiff_t>(runs_[run].begin), runs_[run].length, worker);
  }
  double moved_work(std::size_t run, std::size_t other) const {
    return runs_[run].work - (other == kNoRun ? 0.0 : runs_[other].work);
  }
  bool is_allowed(std::uint32_t worker) const {
    const HeldSums sums = held_sums(owners_, worker);
    return sums.most <= bound_.most && sums.at_end <= bound_.at_end;
  }

  void consider(std::size_t run, std::size_t other, std::uint32_t worker, Change& best) {
    const std::uint32_t from = owner_of(run);
    const double moved = moved_work(run, other);
    if (moved <= 0) return;
    const double higher = std::max(loads_[from] - moved, loads_[worker] + moved);
    if (higher >= best.higher_load) return;
    set_owner(run, worker);
    if (other != kNoRun) set_owner(other, from);
    if (is_allowed(from) && is_allowed(worker)) best = {run, other, worker, higher};
    set_owner(run, from);
    if (other != kNoRun) set_owner(other, worker);
  }

  void apply(const Change& change) {
    const std::uint32_t from = owner_of(change.run);
    const double moved = moved_work(change.run, change.other);
    set_owner(change.run, change.worker);
    if (change.other != kNoRun) set_owner(change.other, from);
    loads_[from] -= moved;
    loads_[change.worker] += moved;
  }

  std::vector<Run> runs_;
  std::vector<std::uint32_t> owners_;  // by slot
  std::vector<double> loads_;          // by worker; 0 is none
  HeldSums bound_;
};

// Slots that make up a node of the slot tree, so that one sum may stand for them.
struct TreeRange {
  std::size_t slot, width;
  double work;
};

// The nodes of most work first, each to whoever has least to do by then.
std::vector<std::uint32_t> longest_first(std::vector<TreeRange> nodes, std::size_t num_slots,
                                         std::vector<double> loads) {
  std::stable_sort(nodes.begin(), nodes.end(), [](const TreeRange& a, const TreeRange& b) { return a.work > b.work; });
  std::vector<std::uint32_t> owners(num_slots);
  for (const TreeRange& node : nodes) {
    const auto least = std::min_element(loads.begin() + 1, loads.end());
    *least += node.work;
    const auto owner = static_cast<std::uint32_t>(least - loads.begin());
    std::fill_n(owners.begin() + static_cast<std::ptrdiff_t>(node.slot), node.width, owner);
  }
  return owners;
}

// Cuts the tree into ever smaller nodes, that of most work first, and deals them out each time; the best of all. The
// first cuts leave few sums, the last ones are single slots.
Assignment packed_nodes(std::span<const double> work, std::span<const int> runs, const std::vector<double>& others,
                        Assignment best) {
  const auto node_of = [&](std::size_t slot, std::size_t width) {
    width = std::min(width, work.size() - slot);
    const auto begin = work.begin() + static_cast<std::ptrdiff_t>(slot);
    return TreeRange{slot, width, std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(width), 0.0)};
  };
  std::vector<TreeRange> nodes = {node_of(0, work.size())};
  for (;;) {
    Assignment dealt(work, runs, others, longest_first(nodes, work.size(), others));
    if (dealt.busiest_load() < best.busiest_load() && dealt.is_allowed()) best = std::move(dealt);
    const auto largest = std::max_element(nodes.begin(), nodes.end(), [](const TreeRange& a, const TreeRange& b) {
      return (a.width > 1 ? a.work : -1.0) < (b.width > 1 ? b.work : -1.0);
    });
    if (largest->width == 1) return best;
    const std::size_t slot = largest->slot, end = slot + largest->width;
    const std::size_t half = std::bit_ceil(largest->width) / 2;
    *largest = node_of(slot, half);
    nodes.push_back(node_of(slot + half, end - slot - half));
  }
}

}  // namespace

HeldSums held_sums(std::span<const std::uint32_t> owners, std::uint32_t worker) {
  const std::size_t num_slots = owners.size();
  std::vector<TreeRange> held;
  HeldSums sums;
  for (std::size_t slot = 0; slot < num_slots; ++slot) {
    if (owners[slot] != worker) continue;
    sums.most = std::max(sums.most, static_cast<int>(held.size()) + 1);
    TreeRange node{slot, 1, 0.0};
    for (;; node.width *= 2) {
      if (node.slot % (2 * node.width) != 0) {
        if (held.empty() || held.back().slot != node.slot - node.width || held.back().width != node.width) break;
        node.slot = held.back().slot;
        held.pop_back();
      } else if (node.slot + node.width < num_slots || node.width >= num_slots) {
        break;  // its sibling comes later or never, or it is the root
      }
    }
    held.push_back(node);
  }
  sums.at_end = static_cast<int>(held.size());
  return sums;
}

HeldSums held_sums_max(int num_slots) {
  CHECK(num_slots >= 1);
  const int levels = static_cast<int>(std::bit_width(static_cast<unsigned>(num_slots) - 1));
  return {.most = levels + 1, .at_end = std::max(1, levels)};
}

std::vector<std::uint32_t> balanced_slot_owners(std::span<const double> work, int num_workers,
                                                std::span<const double> others, std::span<const int> runs) {
  CHECK(!work.empty() && num_workers >= 1 && (others.empty() || std::ssize(others) == num_workers));
  std::vector<double> loads(static_cast<std::size_t>(num_workers) + 1);
  std::ranges::copy(others, loads.begin() + 1);
  const std::vector<int> single(work.size(), 1);
  if (runs.empty()) runs = single;
  const auto assigned = [&](std::vector<std::uint32_t> owners) {
    return Assignment(work, runs, loads, std::move(owners));
  };
  Assignment equal_runs = assigned(slot_owners(static_cast<int>(work.size()), num_workers));
  // What stays together moves the borders between workers.
  if (runs.size() < work.size() && !equal_runs.is_allowed())
    equal_runs = assigned(std::vector<std::uint32_t>(work.size(), 1));
  Assignment best = packed_nodes(work, runs, loads, equal_runs);
  best.improve();
  Assignment improved_runs = equal_runs;
  improved_runs.improve();
  if (improved_runs.busiest_load() < best.busiest_load()) best = std::move(improved_runs);
  const bool is_worthwhile = best.busiest_load() < (1 - kWorthwhile) * equal_runs.busiest_load();
  return is_worthwhile ? best.owners() : equal_runs.owners();
}

DealtUpdate deal_update(std::span<const double> pair_work, std::span<const int> num_pairs,
                        std::span<const double> slot_work, int num_workers, std::span<const double> others) {
  std::vector<double> work(pair_work.begin(), pair_work.end());
  work.insert(work.end(), slot_work.begin(), slot_work.end());
  const double mean = std::accumulate(work.begin(), work.end(), 0.0) / num_workers;
  std::vector<int> runs;
  std::size_t pair = 0;
  for (const int count : num_pairs) {
    if (count == 0) continue;
    const auto begin = work.begin() + static_cast<std::ptrdiff_t>(pair);
    const bool dominates = std::accumulate(begin, begin + count, 0.0) > kDominates * mean;
    if (dominates) {
      runs.insert(runs.end(), static_cast<std::size_t>(count), 1);
    } else {
      runs.push_back(count);
    }
    pair += static_cast<std::size_t>(count);
  }
  CHECK(pair == pair_work.size());
  runs.insert(runs.end(), slot_work.size(), 1);
  const std::vector<std::uint32_t> owners = balanced_slot_owners(work, num_workers, others, runs);
  const auto middle = owners.begin() + static_cast<std::ptrdiff_t>(pair);
  return {.pair_owners = {owners.begin(), middle},
          .slot_owners = {middle, owners.end()},
          .imbalance = imbalance(work, owners, num_workers)};
}

double imbalance(std::span<const double> work, std::span<const std::uint32_t> owners, int num_workers) {
  CHECK(work.size() == owners.size());
  std::vector<double> loads(static_cast<std::size_t>(num_workers) + 1);
  for (std::size_t slot = 0; slot < work.size(); ++slot) loads[owners[slot]] += work[slot];
  const double all = std::accumulate(loads.begin(), loads.end(), 0.0);
  return all > 0 ? *std::max_element(loads.begin(), loads.end()) * num_workers / all : 1.0;
}

}  // namespace jigsaw
