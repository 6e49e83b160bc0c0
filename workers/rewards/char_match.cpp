// char_match: the share of characters that are right, at their places. Unlike exact_match it tells a policy that still
// guesses which guesses are better, so a model from scratch can start from it.
#include <algorithm>

#include "core/utf8.h"
#include "workers/rewards/scorers.h"
#include "workers/rewards/text_rules.h"

namespace jigsaw {
namespace {

class CharMatch final : public Scorer {
 public:
  explicit CharMatch(TextRules rules) : rules_(std::move(rules)) {}

  // Divided by the longer of the two, so that characters missing and too many cost as much as wrong ones.
  Result<double> score(const RewardRequest& request) const override {
    JIGSAW_ASSIGN_OR_RETURN(const auto completion, rules_.completion(request));
    if (!completion) return 0.0;
    const std::string answer = rules_.prepared(request.answer);
    const auto written = utf8_characters(*completion), wanted = utf8_characters(answer);
    const std::size_t shorter = std::min(written.size(), wanted.size()),
                      longer = std::max(written.size(), wanted.size());
    if (longer == 0) return 1.0;
    std::size_t num_right = 0;
    for (std::size_t i = 0; i < shorter; ++i) num_right += written[i] == wanted[i];
    return static_cast<double>(num_right) / static_cast<double>(longer);
  }

 private:
  TextRules rules_;
};

}  // namespace

Result<std::unique_ptr<Scorer>> make_char_match(const RewardConfig& config) {
  JIGSAW_ASSIGN_OR_RETURN(auto rules, TextRules::create(config));
  return std::unique_ptr<Scorer>(std::make_unique<CharMatch>(std::move(rules)));
}

}  // namespace jigsaw
