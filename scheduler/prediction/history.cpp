#include "scheduler/prediction/history.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace jigsaw {

void History::observe(std::int64_t step, int node, double work_s) {
  Seconds& seconds = open_[step];
  const auto place = static_cast<std::size_t>(node);
  if (seconds.size() <= place) seconds.resize(place + 1, 0);
  seconds[place] = work_s;
}

void History::observe_completions(std::int64_t step, int tail, const std::vector<Completion>& completions,
                                  bool has_moved) {
  tails_.observe(step, completions);
  Seconds& seconds = open_[step];
  const auto place = static_cast<std::size_t>(tail);
  if (seconds.size() <= place) return;
  if (!has_moved) {
    tails_.observe_tail(completions, seconds[place]);
  } else if (tails_.knows_cost()) {
    seconds[place] = tails_.tail_s(completions);
  }
}

void History::finish_step(std::int64_t step) {
  const auto found = open_.find(step);
  if (found == open_.end()) return;
  judge(found->second);
  if (steps_finished_ == 1) last_.clear();
  if (steps_off_ >= kDriftSteps) {  // what was before the change says nothing of what comes
    last_.erase(last_.begin(), last_.end() - std::min<std::ptrdiff_t>(std::ssize(last_), kDriftSteps - 1));
    steps_off_ = 0;
  }
  last_.push_back(std::move(found->second));
  if (last_.size() > kStepsKept) last_.pop_front();
  open_.erase(found);
  tails_.finish_step();
  ++steps_finished_;
}

History::Sums History::sums_of(const Seconds& observed) const {
  const Forecast predicted = forecast();
  Sums sums;
  // A checkpoint, the last node, is not in every step.
  for (std::size_t node = 0; node < std::min(observed.size(), predicted.seconds.size()); ++node) {
    sums.predicted += predicted.seconds[node];
    sums.observed += observed[node];
  }
  return sums;
}

std::optional<double> History::error_of(std::int64_t step) const {
  const auto found = open_.find(step);
  if (found == open_.end()) return std::nullopt;
  const auto [sum_predicted, sum_observed] = sums_of(found->second);
  if (sum_observed <= 0 || sum_predicted <= 0) return std::nullopt;
  return std::abs(sum_predicted - sum_observed) / sum_observed;
}

void History::judge(const Seconds& observed) {
  const auto [sum_predicted, sum_observed] = sums_of(observed);
  if (sum_observed <= 0 || sum_predicted <= 0) return;
  if (steps_finished_ < 2) return;  // the first step is no measure for the second
  const auto sum_of = [](const Seconds& step) { return std::accumulate(step.begin(), step.end(), 0.0); };
  double least = sum_of(last_.front()), most = least;
  for (std::size_t i = 1; i + static_cast<std::size_t>(steps_off_) < last_.size(); ++i) {
    least = std::min(least, sum_of(last_[i]));
    most = std::max(most, sum_of(last_[i]));
  }
  const bool says_enough = drifted_ || std::ssize(last_) - steps_off_ >= kReferenceSteps;
  const bool is_outside = sum_observed > most * kDriftFactor || sum_observed < least / kDriftFactor;
  const bool off = says_enough && is_outside;
  steps_off_ = off ? steps_off_ + 1 : 0;
  steps_right_ = off ? 0 : steps_right_ + 1;
  if (steps_off_ >= kDriftSteps) drifted_ = true;
  if (steps_right_ >= kDriftSteps) drifted_ = false;
}

Forecast History::forecast() const {
  Forecast forecast;
  if (last_.empty()) return forecast;
  std::size_t num_nodes = 0;
  for (const Seconds& step : last_) num_nodes = std::max(num_nodes, step.size());
  forecast.samples.resize(num_nodes);
  for (std::size_t node = 0; node < num_nodes; ++node) {
    std::vector<double>& samples = forecast.samples[node];
    for (const Seconds& step : last_) {
      if (node < step.size()) samples.push_back(step[node]);
    }
    std::sort(samples.begin(), samples.end());
    const auto count = static_cast<double>(samples.size());
    forecast.seconds.push_back(std::accumulate(samples.begin(), samples.end(), 0.0) / count);
  }
  forecast.tail = tails_.forecast();
  forecast.drifted = drifted_;
  return forecast;
}

}  // namespace jigsaw
