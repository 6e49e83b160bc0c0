// The slowdown table where nobody has measured one: computed from two coefficients a kind, by a roofline argument. A
// table measured by `jigsaw profile` takes its place wherever there is one.
//
// 1. Compute. Beyond a share `saturates_at` of the worker a kind gets no faster: its kernels do not fill the rest, or
//    it waits for launches, for other GPUs or for the host. Below it, speed is proportional to the share:
//        v = min(1, share / saturates_at)
// 2. Memory bandwidth. A partition divides SMs only; all kinds draw on one memory. A kind that alone uses a part b of
//    the bandwidth spends a part b of its time as if held by memory and 1 - b as if not (its roofs one after the
//    other). Together two kinds want b1 v1 + b2 v2. Where that is more than 1, memory's part of both times stretches by
//    the same 1 + y until they fit:
//        factor = (1 / v) (1 + b y),   with the least y >= 0 for which  sum over both of  b v / (1 + b y)  <=  1
//    So a kind suffers as far as it is bound by bandwidth, and the two never get more bandwidth than there is.
// 3. What else they share (L2, launch queues, the host thread) makes both slower by `corun_overhead`.
//
// The weight b is that at full speed. At a speed v < 1 memory holds a kind for only b v of its time, so that the factor
// errs on the slow side.
#pragma once

#include <map>

#include "graph/sub_stage_kind.h"
#include "scheduler/cost/slowdown_table.h"

namespace jigsaw {

struct SlowdownModel {
  struct Use {
    double saturates_at = 1;  // share of the worker, in (0, 1]
    double bandwidth = 0;     // part of the memory bandwidth that it uses alone, in [0, 1]
    bool operator==(const Use&) const = default;
  };
  std::map<SubStageKind, Use> kinds;  // pairs with a kind that is missing here stay time slices
  double corun_overhead = 0;          // 0.05 = 5 % longer
  bool operator==(const SlowdownModel&) const = default;

  // Of two uses, the first on `share` of the worker.
  SlowdownTable::Factors factors(const Use& first, const Use& second, double share) const;
  // All pairs of `kinds` at shares of 5 %, 10 % .. 95 %.
  SlowdownTable table() const;
};

}  // namespace jigsaw
