#include "scheduler/prediction/forecast.h"

#include <algorithm>
#include <numeric>

namespace jigsaw {

double Forecast::seconds_of(int node) const {
  const auto place = static_cast<std::size_t>(node);
  return place < seconds.size() ? seconds[place] : 0;
}

double Forecast::remaining_s(int node, double done_s) const {
  const auto place = static_cast<std::size_t>(node);
  if (place >= samples.size() || samples[place].empty()) return std::max(0.0, seconds_of(node) - done_s);
  const std::vector<double>& all = samples[place];
  const auto longer = std::upper_bound(all.begin(), all.end(), done_s);
  if (longer != all.end()) {
    return std::accumulate(longer, all.end(), 0.0) / static_cast<double>(all.end() - longer) - done_s;
  }
  return all.size() > 1 ? all.back() - all[all.size() - 2] : all.back() * 0.1;
}

}  // namespace jigsaw
