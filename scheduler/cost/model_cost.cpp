#include "scheduler/cost/model_cost.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace jigsaw {
namespace {

double at_batch(const std::vector<ModelCost::DecodePoint>& points, double batch) {
  CHECK(!points.empty());
  if (points.size() == 1 || batch <= points.front().batch) return points.front().seconds;
  std::size_t next = 1;
  while (next + 1 < points.size() && points[next].batch < batch) ++next;
  const auto &a = points[next - 1], &b = points[next];
  return a.seconds + (batch - a.batch) / (b.batch - a.batch) * (b.seconds - a.seconds);
}

}  // namespace

double ModelCost::decode_run_s(double batch, double context, std::int64_t passes) const {
  // Of the contexts context, context + 1, ..: those beyond context_from count, by how far they are.
  const double first = std::clamp(std::ceil(context_from - context), 0.0, static_cast<double>(passes));
  const double counted = static_cast<double>(passes) - first;
  const double beyond = counted * (context + first - context_from) + counted * (counted - 1) / 2;
  return static_cast<double>(passes) * at_batch(decode, batch) + context_token_s * batch * beyond;
}

DecodeWork decode_work(const ModelCost& model, std::vector<SequenceLeft> sequences, const TokenBins& bins) {
  std::sort(sequences.begin(), sequences.end(),
            [](const SequenceLeft& a, const SequenceLeft& b) { return a.tokens < b.tokens; });
  double context_sum = 0;
  for (const SequenceLeft& sequence : sequences) context_sum += sequence.context;
  DecodeWork work;
  std::int64_t done = 0;  // passes
  for (std::size_t ended = 0; ended < sequences.size(); ++ended) {
    const std::int64_t passes = sequences[ended].tokens - done;
    if (passes > 0) {
      const auto batch = static_cast<double>(sequences.size() - ended);
      WorkPart& part = batch >= bins.wide_from ? work.wide : batch >= bins.tail_below ? work.bulk : work.tail;
      part += {model.decode_run_s(batch, context_sum / batch + static_cast<double>(done), passes),
               batch * static_cast<double>(passes)};
      done += passes;
    }
    context_sum -= sequences[ended].context;
  }
  return work;
}

}  // namespace jigsaw
