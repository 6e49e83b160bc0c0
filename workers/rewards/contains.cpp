// contains: 1 if the answer stands anywhere in the completion, else 0.
#include "workers/rewards/scorers.h"
#include "workers/rewards/text_rules.h"

namespace jigsaw {
namespace {

class Contains final : public Scorer {
 public:
  explicit Contains(TextRules rules) : rules_(std::move(rules)) {}

  Result<double> score(const RewardRequest& request) const override {
    const std::string answer = rules_.prepared(request.answer);
    if (answer.empty()) return Error(ErrorCode::kInvalidArgument, "the answer is empty, which every text contains");
    JIGSAW_ASSIGN_OR_RETURN(const auto completion, rules_.completion(request));
    return completion && completion->find(answer) != std::string::npos ? 1.0 : 0.0;
  }

 private:
  TextRules rules_;
};

}  // namespace

Result<std::unique_ptr<Scorer>> make_contains(const RewardConfig& config) {
  JIGSAW_ASSIGN_OR_RETURN(auto rules, TextRules::create(config));
  return std::unique_ptr<Scorer>(std::make_unique<Contains>(std::move(rules)));
}

}  // namespace jigsaw
