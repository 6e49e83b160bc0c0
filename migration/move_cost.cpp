#include "migration/move_cost.h"

namespace jigsaw {
namespace {

constexpr double kNewestWeight = 0.25;

}  // namespace

void MeasuredRate::add(double amount, double seconds) {
  if (!(amount > 0 && seconds > 0)) return;
  const double rate = amount / seconds;
  rate_ = is_measured_ ? rate_ + kNewestWeight * (rate - rate_) : rate;
  is_measured_ = true;
}

}  // namespace jigsaw
