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
constexpr int kStepsMax = 2000;       // of the search; each makes the busiest worker's work less

// An assignment under change.
class Assignment {
 public:
  // others: by worker, [0] unused.
  Assignment(std::span<const double> work, std::vector<double> others, std::vector<std::uint32_t> owners)
      : work_(work), owners_(std::move(owners)), loads_(std::move(others)) {
    for (std::size_t slot = 0; slot < owners_.size(); ++slot) loads_[owners_[slot]] += work_[slot];
  }

  const std::vector<std::uint32_t>& owners() const { return owners_; }
  double busiest_load() const { return *std::max_element(loads_.begin() + 1, loads_.end()); }
  bool is_allowed() const {
    for (std::uint32_t worker = 1; worker < loads_.size(); ++worker) {
      if (!is_allowed(worker)) return false;
    }
    return true;
  }

  // Moves or swaps slots of the busiest worker while that makes the higher of the two loads less; the best first.
  void improve() {
    const double all = std::accumulate(work_.begin(), work_.end(), 0.0);
    for (int step = 0; step < kStepsMax; ++step) {
      const auto busiest =
          static_cast<std::uint32_t>(std::max_element(loads_.begin() + 1, loads_.end()) - loads_.begin());
      Change best;
      best.higher_load = loads_[busiest] - kNegligible * all;
      for (std::size_t slot = 0; slot < owners_.size(); ++slot) {
        if (owners_[slot] != busiest) continue;
        for (std::uint32_t worker = 1; worker < loads_.size(); ++worker) {
          if (worker != busiest) consider(slot, kNoSlot, worker, best);
        }
        for (std::size_t other = 0; other < owners_.size(); ++other) {
          if (owners_[other] != busiest) consider(slot, other, owners_[other], best);
        }
      }
      if (best.slot == kNoSlot) return;
      apply(best);
    }
  }

 private:
  static constexpr std::size_t kNoSlot = static_cast<std::size_t>(-1);
  struct Change {
    std::size_t slot = kNoSlot, other = kNoSlot;  // `slot` to `worker`, `other`, if any, to the owner of `slot`
    std::uint32_t worker = 0;
    double higher_load = 0;  // of the two workers, after it
  };

  bool is_allowed(std::uint32_t worker) const {
    const HeldSums sums = held_sums(owners_, worker), bound = held_sums_max(static_cast<int>(owners_.size()));
    return sums.most <= bound.most && sums.at_end <= bound.at_end;
  }

  void consider(std::size_t slot, std::size_t other, std::uint32_t worker, Change& best) {
    const std::uint32_t from = owners_[slot];
    const double moved = work_[slot] - (other == kNoSlot ? 0.0 : work_[other]);
    if (moved <= 0) return;
    const double higher = std::max(loads_[from] - moved, loads_[worker] + moved);
    if (higher >= best.higher_load) return;
    owners_[slot] = worker;
    if (other != kNoSlot) owners_[other] = from;
    if (is_allowed(from) && is_allowed(worker)) best = {slot, other, worker, higher};
    owners_[slot] = from;
    if (other != kNoSlot) owners_[other] = worker;
  }

  void apply(const Change& change) {
    const std::uint32_t from = owners_[change.slot];
    const double moved = work_[change.slot] - (change.other == kNoSlot ? 0.0 : work_[change.other]);
    owners_[change.slot] = change.worker;
    if (change.other != kNoSlot) owners_[change.other] = from;
    loads_[from] -= moved;
    loads_[change.worker] += moved;
  }

  std::span<const double> work_;
  std::vector<std::uint32_t> owners_;
  std::vector<double> loads_;  // by worker; 0 is none
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
Assignment packed_nodes(std::span<const double> work, const std::vector<double>& others, Assignment best) {
  const auto node_of = [&](std::size_t slot, std::size_t width) {
    width = std::min(width, work.size() - slot);
    const auto begin = work.begin() + static_cast<std::ptrdiff_t>(slot);
    return TreeRange{slot, width, std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(width), 0.0)};
  };
  std::vector<TreeRange> nodes = {node_of(0, work.size())};
  for (;;) {
    Assignment dealt(work, others, longest_first(nodes, work.size(), others));
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
                                                std::span<const double> others) {
  CHECK(!work.empty() && num_workers >= 1 && (others.empty() || std::ssize(others) == num_workers));
  std::vector<double> loads(static_cast<std::size_t>(num_workers) + 1);
  std::ranges::copy(others, loads.begin() + 1);
  const Assignment equal_runs(work, loads, slot_owners(static_cast<int>(work.size()), num_workers));
  Assignment best = packed_nodes(work, loads, equal_runs);
  best.improve();
  Assignment improved_runs = equal_runs;
  improved_runs.improve();
  if (improved_runs.busiest_load() < best.busiest_load()) best = std::move(improved_runs);
  const bool is_worthwhile = best.busiest_load() < (1 - kWorthwhile) * equal_runs.busiest_load();
  return is_worthwhile ? best.owners() : equal_runs.owners();
}

double imbalance(std::span<const double> work, std::span<const std::uint32_t> owners, int num_workers) {
  CHECK(work.size() == owners.size());
  std::vector<double> loads(static_cast<std::size_t>(num_workers) + 1);
  for (std::size_t slot = 0; slot < work.size(); ++slot) loads[owners[slot]] += work[slot];
  const double all = std::accumulate(loads.begin(), loads.end(), 0.0);
  return all > 0 ? *std::max_element(loads.begin(), loads.end()) * num_workers / all : 1.0;
}

}  // namespace jigsaw
