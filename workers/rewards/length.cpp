// length: how near the completion's number of tokens is to a target, or whether it keeps below a bound.
#include <algorithm>
#include <cmath>

#include "workers/rewards/scorers.h"

namespace jigsaw {
namespace {

class Length final : public Scorer {
 public:
  Length(int target, int max) : target_(target), max_(max) {}

  // A peak of 1 at the target, falling in straight lines to 0 at no tokens and at twice the target.
  Result<double> score(const RewardRequest& request) const override {
    if (max_ > 0 && request.num_tokens > max_) return 0.0;
    if (target_ == 0) return 1.0;
    const double distance = std::abs(static_cast<double>(request.num_tokens) - target_);
    return std::max(0.0, 1.0 - distance / target_);
  }

 private:
  int target_, max_;  // 0: none
};

}  // namespace

Result<std::unique_ptr<Scorer>> make_length(const RewardConfig& config) {
  const int target = config.length_target, max = config.length_max;
  if (target < 0 || max < 0 || (target == 0 && max == 0)) {
    return Error(ErrorCode::kInvalidArgument, "needs 'length_target', 'length_max' or both, above 0 (they are " +
                                                  std::to_string(target) + " and " + std::to_string(max) + ")");
  }
  if (max > 0 && target > max) {
    return Error(ErrorCode::kInvalidArgument,
                 "length_target is " + std::to_string(target) + ", above length_max, " + std::to_string(max));
  }
  return std::unique_ptr<Scorer>(std::make_unique<Length>(target, max));
}

}  // namespace jigsaw
