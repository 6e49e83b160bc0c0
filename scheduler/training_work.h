// What training a sample costs: a L^2 + b L seconds for L tokens, prompt included; attention is the square, all else
// the line. Calibrated online from how long updates kept workers busy; what an update costs whatever it trains (the
// optimizer's step) is a constant c beside it. Only the proportion of a and b matters to who uses it. A plain value.
#pragma once

#include <array>
#include <cstdint>

namespace jigsaw {

// Sums over the samples that something trains.
struct TokenSums {
  double tokens = 0, squares = 0;
  void add(std::int64_t num_tokens) {
    const auto length = static_cast<double>(num_tokens);
    tokens += length;
    squares += length * length;
  }
};

class TrainingWork {
 public:
  // An update of some samples kept a worker busy for `seconds`. Older observations count less and less.
  void observe(const TokenSums& sums, double seconds);
  // Predicted seconds, without the constant; before anything was observed, a second a token.
  double of(const TokenSums& sums) const { return quadratic_ * sums.squares + linear_ * sums.tokens; }
  bool has_observed() const { return products_[0][0] > 0; }

  double quadratic() const { return quadratic_; }  // a, never below 0
  double linear() const { return linear_; }        // b, never below 0
  double constant() const { return constant_; }    // c, never below 0

 private:
  // Normal equations of least squares for (b, a, c), with squares and c in units of kUnit tokens.
  std::array<std::array<double, 3>, 3> products_{};
  std::array<double, 3> with_seconds_{};
  double quadratic_ = 0, linear_ = 1, constant_ = 0;
};

}  // namespace jigsaw
