// number_match: 1 if the completion's last number equals the answer's, as numbers; else 0.
#include "core/in_quotes.h"
#include "workers/rewards/decimal.h"
#include "workers/rewards/scorers.h"
#include "workers/rewards/text_rules.h"

namespace jigsaw {
namespace {

class NumberMatch final : public Scorer {
 public:
  explicit NumberMatch(TextRules rules) : rules_(std::move(rules)) {}

  Result<double> score(const RewardRequest& request) const override {
    const auto wanted = last_number(request.answer);
    if (!wanted) {
      return Error(ErrorCode::kInvalidArgument,
                   "the answer " + in_quotes(request.answer) + " holds no number; mend the data or take exact_match");
    }
    JIGSAW_ASSIGN_OR_RETURN(const auto completion, rules_.completion(request));
    return completion && last_number(*completion) == wanted ? 1.0 : 0.0;
  }

 private:
  TextRules rules_;
};

}  // namespace

Result<std::unique_ptr<Scorer>> make_number_match(const RewardConfig& config) {
  JIGSAW_ASSIGN_OR_RETURN(auto rules, TextRules::create(config));
  return std::unique_ptr<Scorer>(std::make_unique<NumberMatch>(std::move(rules)));
}

}  // namespace jigsaw
