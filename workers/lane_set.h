// The lanes of a worker: its cores, divided in discrete levels between the sub-stages that compute at the same time, at
// most two. Executor thread only; a lane that it hands out is used by one thread at a time.
//
// This is the interface that a GPU fills otherwise: a core is then a group of SMs, lane(side, width) a green context on
// `width` of them from that end, made at first use and kept, and going over to another split is launching on another
// context's stream. Whoever asks keeps to the rule below on both.
//
// Rule: the widths under way at the same time add up to num_threads() at most. The first side counts from the front and
// the second from the back, so their cores are then never the same ones, also while one side already has its new width
// and the other still runs a quantum on its old one.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/lane.h"

namespace jigsaw {

inline constexpr int kNumLaneSides = 2;

class LaneSet {
 public:
  // `cpus`: num_threads of them, to which the threads are bound; or empty, and they run where the system puts them.
  explicit LaneSet(int num_threads, std::vector<int> cpus = {});

  int num_threads() const { return num_threads_; }
  // side: 0 or 1; 1 <= width <= num_threads().
  Lane& lane(int side, int width);
  Lane& whole() { return lane(0, num_threads_); }
  // The CPU for the thread that calls into lane(side, width); -1 = anywhere.
  int caller_cpu(int side, int width) const;

 private:
  std::span<const int> cpus_of(int side, int width) const;

  int num_threads_;
  std::vector<int> cpus_;
  std::array<std::vector<std::unique_ptr<Lane>>, kNumLaneSides> lanes_;  // by side and width - 1; null until asked for
};

// Cores of the two sides while two sub-stages compute.
struct Partition {
  int first = 1, second = 1;
  bool operator==(const Partition&) const = default;
  int of(int side) const { return side == 0 ? first : second; }
};

// The split of num_threads >= 2 nearest to the ratio of the shares; each side has at least one.
Partition nearest_partition(int num_threads, double share_first, double share_second);

// Keeps a split until another one has been the nearer for kQuantaBeforeSwitch quanta in a row, or other sub-stages run:
// caches and first-touched buffers are not to be moved about by a share that wavers.
class PartitionChooser {
 public:
  static constexpr int kQuantaBeforeSwitch = 8;

  struct Side {
    std::uint64_t node = 0;
    double share = 1;
  };
  explicit PartitionChooser(int num_threads) : num_threads_(num_threads) {}
  // Asked before each quantum.
  Partition choose(const Side& first, const Side& second);
  // For more than two sub-stages, which take turns: even halves. Forgets what it kept.
  Partition choose_even();

 private:
  int num_threads_;
  Partition current_;
  std::pair<std::uint64_t, std::uint64_t> nodes_{};
  bool is_kept_ = false;
  int quanta_against_ = 0;
};

// CPUs for the `index`-th of the workers on one machine, whose usable CPUs are `usable_by_worker` (of each, ascending),
// with `num_threads` threads each; empty = do not bind. Workers that may run on the same CPUs get a slice each if all
// fit; a worker whose CPUs are its own (mpirun --bind-to) takes the first of them; anything else is not bound.
std::vector<int> cpus_for_worker(std::span<const std::vector<int>> usable_by_worker, std::size_t index,
                                 int num_threads);

}  // namespace jigsaw
