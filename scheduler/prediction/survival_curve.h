// How long completions get: the share of them that is longer than so many tokens, from those of the last steps.
#pragma once

#include <vector>

namespace jigsaw {

// One that has ended.
struct Completion {
  double tokens = 0;         // decoded
  double prompt_tokens = 0;  // and what else its context had
  bool truncated = false;    // it did not end by itself
};

inline bool is_shorter(const Completion& a, const Completion& b) { return a.tokens < b.tokens; }

// The product-limit estimate (Kaplan and Meier, "Nonparametric estimation from incomplete observations", 1958). A
// truncated completion is censored: it counts among those that got as far, and says nothing of how much longer it would
// have been. At the longest length seen all ends: that is the limit on new tokens where completions were truncated, and
// otherwise the best that is known.
//
// Of more than kKnotsMax different lengths, neighbours become one, at their mean, in steps of equal ratio of what
// survives: the fewer are left, the finer.
class SurvivalCurve {
 public:
  static constexpr std::size_t kKnotsMax = 64;
  // `survival` of all get longer than `tokens`; at most one length lies between two knots.
  struct Knot {
    double tokens, survival;
  };

  SurvivalCurve() = default;  // nothing is known
  explicit SurvivalCurve(std::vector<Completion> completions);

  bool empty() const { return knots_.empty(); }
  const std::vector<Knot>& knots() const { return knots_; }  // ascending; the last one's survival is 0
  double longest() const { return empty() ? 0 : knots_.back().tokens; }
  // Part of the completions that are longer.
  double survival(double tokens) const;
  // What one that is longer than all that were seen is thought to take yet: the spread between the two longest, at
  // least a token.
  double beyond_longest() const;

 private:
  void merge_neighbours();

  std::vector<Knot> knots_;
};

}  // namespace jigsaw
