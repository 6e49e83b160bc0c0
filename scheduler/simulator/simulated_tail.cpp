#include "scheduler/simulator/simulated_tail.h"

#include <algorithm>
#include <cmath>

namespace jigsaw {

SimulatedTail::SimulatedTail(std::vector<TailSequence> sequences, const ModelCost& model, double overhead,
                             double lead_s)
    : sequences_(std::move(sequences)), model_(model), overhead_(overhead), lead_s_(lead_s) {
  std::erase_if(sequences_, [](const TailSequence& sequence) { return sequence.left <= 0; });
  std::stable_sort(sequences_.begin(), sequences_.end(),
                   [](const TailSequence& a, const TailSequence& b) { return a.left < b.left; });
  double context = 0, decoded = 0, passes = 0, work_s = lead_s_;
  for (const TailSequence& sequence : sequences_) {
    context += sequence.context;
    decoded += sequence.decoded;
  }
  for (std::size_t i = 0; i < sequences_.size();) {
    const auto width = static_cast<double>(sequences_.size() - i);
    const double more = sequences_[i].left - passes;
    work_s += overhead_ * model_.decode_run_s(width, context / width + passes, std::llround(more));
    passes += more;
    double decoded_before = decoded / width;
    for (const double ends_at = sequences_[i].left; i < sequences_.size() && sequences_[i].left == ends_at; ++i) {
      context -= sequences_[i].context;
      decoded -= sequences_[i].decoded;
    }
    const auto running = static_cast<int>(sequences_.size() - i);
    if (running > 0) decoded_before = decoded / running;
    ends_.push_back({work_s, running, decoded_before + passes});
    passes_.push_back(passes);
  }
}

double SimulatedTail::decoded() const {
  double sum = 0;
  for (const TailSequence& sequence : sequences_) sum += sequence.decoded;
  return sequences_.empty() ? 0 : sum / static_cast<double>(sequences_.size());
}

std::vector<TailSequence> SimulatedTail::after(double work_s) const {
  double passes = 0, begin_s = lead_s_;
  for (std::size_t i = 0; i < ends_.size() && work_s > begin_s; ++i) {
    const double part = std::min(1.0, (work_s - begin_s) / std::max(1e-12, ends_[i].work_s - begin_s));
    const double before = i == 0 ? 0 : passes_[i - 1];
    passes = std::ceil(before + part * (passes_[i] - before) - 1e-6);
    begin_s = ends_[i].work_s;
  }
  std::vector<TailSequence> running;
  for (TailSequence sequence : sequences_) {
    if (sequence.left <= passes) continue;
    sequence.left -= passes;
    sequence.decoded += passes;
    sequence.context += passes;
    running.push_back(sequence);
  }
  return running;
}

SimulatedTail SimulatedTail::joined(double work_s, const std::vector<TailSequence>& joining, double lead_s) const {
  std::vector<TailSequence> all = after(work_s);
  all.insert(all.end(), joining.begin(), joining.end());
  return {std::move(all), model_, overhead_, lead_s + std::max(0.0, lead_s_ - work_s)};
}

double SimulatedTail::prefill_s(const std::vector<TailSequence>& sequences) const {
  double tokens = 0;
  for (const TailSequence& sequence : sequences) tokens += sequence.context;
  return overhead_ * model_.prefill_s(tokens);
}

}  // namespace jigsaw
