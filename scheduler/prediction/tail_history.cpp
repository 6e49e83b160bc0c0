#include "scheduler/prediction/tail_history.h"

#include <algorithm>
#include <cmath>

namespace jigsaw {

TailHistory::TailHistory(TokenBins bins, ModelCost cost)
    : bins_(bins), cost_(std::move(cost)), knows_cost_(!cost_.decode.empty()) {
  if (!knows_cost_) cost_.decode = {{.batch = 1, .seconds = 1}};
}

void TailHistory::observe(std::int64_t step, const std::vector<Completion>& completions) {
  std::vector<Completion>& of_step = lengths_[step];
  of_step.insert(of_step.end(), completions.begin(), completions.end());
}

double TailHistory::tail_at_scale_1_s(const std::vector<Completion>& completions) const {
  std::vector<SequenceLeft> sequences;
  for (const Completion& completion : completions) {
    sequences.push_back({completion.prompt_tokens, std::llround(completion.tokens)});
  }
  return decode_work(cost_, std::move(sequences), bins_).tail.seconds;
}

double TailHistory::tail_s(const std::vector<Completion>& completions) const {
  return scale_ * tail_at_scale_1_s(completions);
}

void TailHistory::observe_tail(const std::vector<Completion>& completions, double tail_s) {
  const double expected_s = tail_at_scale_1_s(completions);
  if (expected_s <= 0 || tail_s <= 0) return;
  const double observed = tail_s / expected_s;
  if (!knows_cost_ && !has_observed_) {
    scale_ = observed;
  } else {
    const double ratio = std::clamp(observed / scale_, 1 / kScaleRatioMax, kScaleRatioMax);
    scale_ *= 1 + kScaleWeight * (ratio - 1);
  }
  knows_cost_ = has_observed_ = true;
}

void TailHistory::finish_step() {
  while (lengths_.size() > kStepsKept) lengths_.erase(lengths_.begin());
  std::vector<Completion> all;
  double prompts = 0;
  for (auto& [step, completions] : lengths_) {
    if (!std::is_sorted(completions.begin(), completions.end(), is_shorter))
      std::sort(completions.begin(), completions.end(), is_shorter);
    const auto middle = std::ssize(all);
    all.insert(all.end(), completions.begin(), completions.end());
    std::inplace_merge(all.begin(), all.begin() + middle, all.end(), is_shorter);
    for (const Completion& completion : completions) prompts += completion.prompt_tokens;
  }
  prompt_tokens_ = all.empty() ? 0 : prompts / static_cast<double>(all.size());
  curve_ = SurvivalCurve(std::move(all));
}

TailForecast TailHistory::forecast() const {
  if (!knows_cost_ || curve_.empty()) return {};
  return {.lengths = curve_, .cost = cost_, .scale = scale_, .prompt_tokens = prompt_tokens_};
}

}  // namespace jigsaw
