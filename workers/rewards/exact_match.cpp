// exact_match: 1 for the answer, else 0.
#include "workers/rewards/scorers.h"
#include "workers/rewards/text_rules.h"

namespace jigsaw {
namespace {

class ExactMatch final : public Scorer {
 public:
  explicit ExactMatch(TextRules rules) : rules_(std::move(rules)) {}

  Result<double> score(const RewardRequest& request) const override {
    JIGSAW_ASSIGN_OR_RETURN(const auto completion, rules_.completion(request));
    return completion && *completion == rules_.prepared(request.answer) ? 1.0 : 0.0;
  }

 private:
  TextRules rules_;
};

}  // namespace

Result<std::unique_ptr<Scorer>> make_exact_match(const RewardConfig& config) {
  JIGSAW_ASSIGN_OR_RETURN(auto rules, TextRules::create(config));
  return std::unique_ptr<Scorer>(std::make_unique<ExactMatch>(std::move(rules)));
}

}  // namespace jigsaw
