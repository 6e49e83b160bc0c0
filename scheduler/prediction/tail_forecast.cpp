#include "scheduler/prediction/tail_forecast.h"

#include <algorithm>
#include <cmath>

namespace jigsaw {
namespace {

// One group of sequences, as passes go by.
class Group {
 public:
  Group(const SurvivalCurve& curve, RunningSequences sequences)
      : knots_(curve.knots()),
        sequences_(sequences),
        alive_(curve.survival(sequences.tokens)),
        next_(std::upper_bound(knots_.begin(), knots_.end(), sequences.tokens,
                               [](double value, const SurvivalCurve::Knot& knot) { return value < knot.tokens; }) -
              knots_.begin()),
        beyond_(curve.beyond_longest()) {
    is_beyond_ = next_ == std::ssize(knots_);
  }

  bool done() const { return part_ == 0; }
  // Passes from the beginning until the expected number changes.
  double next_end() const { return is_beyond_ ? beyond_ : knot().tokens - sequences_.tokens; }
  void pass(double passes) {
    while (!done() && next_end() <= passes) {
      part_ = is_beyond_ ? 0 : knot().survival / alive_;
      ++next_;
    }
  }
  double expected() const { return sequences_.count * part_; }
  double context() const { return sequences_.tokens; }
  double all_ended() const { return std::pow(1 - part_, sequences_.count); }

 private:
  const SurvivalCurve::Knot& knot() const { return knots_[static_cast<std::size_t>(next_)]; }

  const std::vector<SurvivalCurve::Knot>& knots_;
  RunningSequences sequences_;
  double alive_;  // by the curve, at the beginning
  std::ptrdiff_t next_;
  double beyond_;
  bool is_beyond_ = false;
  double part_ = 1;  // that still runs
};

}  // namespace

double RemainingTime::mean_s() const {
  double mean = 0, before_s = 0, done = 0;
  for (const Point& point : points) {
    mean += (1 - done) * (point.seconds - before_s);
    before_s = point.seconds;
    done = point.done;
  }
  return mean;
}

double RemainingTime::quantile_s(double probability) const {
  for (const Point& point : points) {
    if (point.done >= probability) return point.seconds;
  }
  return points.empty() ? 0 : points.back().seconds;
}

RemainingTime TailForecast::remaining(std::span<const RunningSequences> sequences) const {
  RemainingTime remaining;
  if (empty()) return remaining;
  std::vector<Group> groups;
  for (const RunningSequences& of : sequences) {
    if (of.count > 0) groups.emplace_back(lengths, of);
  }
  double passes = 0, seconds = 0, any = 1;
  while (true) {
    double next = -1, width = 0, context = 0;
    for (const Group& group : groups) {
      if (group.done()) continue;
      next = next < 0 ? group.next_end() : std::min(next, group.next_end());
      width += group.expected();
      context += group.expected() * group.context();
    }
    if (next < 0) return remaining;
    context = prompt_tokens + context / width + (passes + next) / 2;
    seconds += scale * (next - passes) * cost.decode_s(std::max(1.0, width / any), context);
    passes = next;
    double ended = 1;
    for (Group& group : groups) {
      group.pass(passes);
      ended *= group.all_ended();
    }
    remaining.points.push_back({seconds, ended});
    any = 1 - ended;
  }
}

RunningSequences TailForecast::after(RunningSequences sequences, double work_s) const {
  if (empty() || sequences.count == 0) return sequences;
  const double pass_s = scale * cost.decode_s(sequences.count, prompt_tokens + sequences.tokens);
  if (pass_s > 0) sequences.tokens += std::max(0.0, work_s) / pass_s;
  return sequences;
}

double TailForecast::prefill_s(RunningSequences sequences) const {
  return scale * cost.prefill_s(sequences.count * (prompt_tokens + sequences.tokens));
}

}  // namespace jigsaw
