// What turns measurements into figures. Pure.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "graph/sub_stage_kind.h"

namespace jigsaw {

double mean(std::span<const double> values);  // 0 without values
// `count` of the values that stand for all, ascending: of each of as many equal parts the middle one. All, where there
// are not more.
std::vector<double> order_statistics(std::vector<double> values, std::size_t count);

// seconds = pass_s + token_s x tokens, both at least 0.
struct LinearTime {
  double token_s = 0, pass_s = 0;
};
// Through two measurements, first_tokens < second_tokens. Where that leaves one of the two below 0, as noise may, it is
// 0 and the other one goes through the second, larger measurement.
LinearTime linear_time(double first_tokens, double first_s, double second_tokens, double second_s);

// Two kinds of work side by side; as a row of the slowdown table has it. A factor is the time beside the other / alone.
struct SlowdownMeasurement {
  SubStageKind first = SubStageKind::kUpdate, second = SubStageKind::kUpdate;
  double share = 0.5;  // of the first
  double first_factor = 1, second_factor = 1;
  bool operator==(const SlowdownMeasurement&) const = default;
};
// One of each (pair, share), ascending, with first <= second, and share <= 0.5 where both are of one kind: those that
// mirror each other are one, with the mean of the factors. Factors below 1 become 1: the machine was busier when it was
// measured alone, or the work is so little that more threads are in each other's way; no schedule is to count on
// either.
std::vector<SlowdownMeasurement> merged(std::span<const SlowdownMeasurement> measurements);

}  // namespace jigsaw
