// Brings the rates of the sub-stages on a worker up to date after one of them has started, ended or changed its share.
#pragma once

#include "scheduler/cost/slowdown_table.h"
#include "scheduler/plan.h"

namespace jigsaw {

void update_rates(Plan& plan, int worker, const SlowdownTable& slowdown, Clock::TimePoint now);

}  // namespace jigsaw
