#include "scheduler/training_work.h"

#include <cmath>
#include <utility>

namespace jigsaw {
namespace {

constexpr double kMemory = 0.97;  // what an observation still counts once another has come
constexpr double kUnit = 1000;    // tokens: the three terms of usual updates are then of one size
// Pulls a and c to 0 where what was seen does not tell them from b: all updates of one size, or all samples of one
// length.
constexpr double kRidge = 1e-5;

using Matrix = std::array<std::array<double, 3>, 3>;

// Of a positive definite system, by elimination.
std::array<double, 3> solve(Matrix m, std::array<double, 3> x) {
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t row = i + 1; row < 3; ++row) {
      const double factor = m[row][i] / m[i][i];
      for (std::size_t column = i; column < 3; ++column) m[row][column] -= factor * m[i][column];
      x[row] -= factor * x[i];
    }
  }
  for (std::size_t i = 3; i-- > 0;) {
    for (std::size_t column = i + 1; column < 3; ++column) x[i] -= m[i][column] * x[column];
    x[i] /= m[i][i];
  }
  return x;
}

}  // namespace

void TrainingWork::observe(const TokenSums& sums, double seconds) {
  if (!(sums.tokens > 0) || !(seconds > 0)) return;
  // A row for each observation, by the tokens in it, so that large updates do not outweigh all others.
  const std::array<double, 3> row = {1, sums.squares / kUnit / sums.tokens, kUnit / sums.tokens};
  const double rate = seconds / sums.tokens;
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) products_[i][j] = kMemory * products_[i][j] + row[i] * row[j];
    with_seconds_[i] = kMemory * with_seconds_[i] + row[i] * rate;
  }
  Matrix regular = products_;
  for (const std::size_t i : {1, 2}) regular[i][i] += kRidge * (products_[0][0] + products_[1][1] + products_[2][2]);
  const auto [linear, quadratic, constant] = solve(regular, with_seconds_);
  // Noise can turn a sign: then the mean rate is the better guess.
  if (std::isfinite(linear) && linear > 0 && quadratic >= 0 && constant >= 0) {
    linear_ = linear;
    quadratic_ = quadratic / kUnit;
    constant_ = constant * kUnit;
  } else {
    linear_ = with_seconds_[0] / products_[0][0];
    quadratic_ = constant_ = 0;
  }
}

}  // namespace jigsaw
