#include "workers/lane_set.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace jigsaw {

LaneSet::LaneSet(int num_threads, std::vector<int> cpus) : num_threads_(num_threads), cpus_(std::move(cpus)) {
  CHECK(num_threads >= 1);
  CHECK(cpus_.empty() || cpus_.size() == static_cast<std::size_t>(num_threads));
  for (auto& side : lanes_) side.resize(static_cast<std::size_t>(num_threads));
}

std::span<const int> LaneSet::cpus_of(int side, int width) const {
  const std::span<const int> all = cpus_;
  if (all.empty()) return all;
  const auto count = static_cast<std::size_t>(width);
  return side == 0 ? all.first(count) : all.last(count);
}

Lane& LaneSet::lane(int side, int width) {
  CHECK(side >= 0 && side < kNumLaneSides && width >= 1 && width <= num_threads_);
  if (width == num_threads_) side = 0;  // the same cores
  std::unique_ptr<Lane>& lane = lanes_[static_cast<std::size_t>(side)][static_cast<std::size_t>(width - 1)];
  if (lane == nullptr) {
    const std::span<const int> cpus = cpus_of(side, width);
    lane = cpus.empty() ? std::make_unique<Lane>(width)
                        : std::make_unique<Lane>(std::vector<int>(cpus.begin(), cpus.end()));
  }
  return *lane;
}

int LaneSet::caller_cpu(int side, int width) const {
  const std::span<const int> cpus = cpus_of(side, width);
  return cpus.empty() ? -1 : cpus.front();
}

Partition nearest_partition(int num_threads, double share_first, double share_second) {
  CHECK(num_threads >= 2 && share_first > 0 && share_second > 0);
  const double wanted = num_threads * (share_first / (share_first + share_second));
  const int first = std::clamp(static_cast<int>(std::lround(wanted)), 1, num_threads - 1);
  return {first, num_threads - first};
}

Partition PartitionChooser::choose(const Side& first, const Side& second) {
  const Partition nearest = nearest_partition(num_threads_, first.share, second.share);
  const std::pair nodes{first.node, second.node};
  const bool is_other_pair = !is_kept_ || nodes != nodes_;
  quanta_against_ = is_other_pair || nearest == current_ ? 0 : quanta_against_ + 1;
  if (is_other_pair || quanta_against_ == kQuantaBeforeSwitch) {
    current_ = nearest;
    quanta_against_ = 0;
  }
  nodes_ = nodes;
  is_kept_ = true;
  return current_;
}

Partition PartitionChooser::choose_even() {
  is_kept_ = false;
  return nearest_partition(num_threads_, 1, 1);
}

std::vector<int> cpus_for_worker(std::span<const std::vector<int>> usable_by_worker, std::size_t index,
                                 int num_threads) {
  CHECK(index < usable_by_worker.size() && num_threads >= 1);
  const std::vector<int>& own = usable_by_worker[index];
  std::size_t num_alike = 0, place = 0;
  for (std::size_t worker = 0; worker < usable_by_worker.size(); ++worker) {
    const std::vector<int>& other = usable_by_worker[worker];
    if (other == own) {
      place += worker < index ? 1 : 0;
      ++num_alike;
    } else if (std::ranges::find_first_of(own, other) != own.end()) {
      return {};
    }
  }
  const auto width = static_cast<std::size_t>(num_threads);
  if (num_alike * width > own.size()) return {};
  const auto begin = own.begin() + static_cast<std::ptrdiff_t>(place * width);
  return {begin, begin + num_threads};
}

}  // namespace jigsaw
