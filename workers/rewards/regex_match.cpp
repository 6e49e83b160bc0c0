// regex_match: 1 if the pattern is found anywhere in the completion, else 0.
#include "workers/rewards/scorers.h"
#include "workers/rewards/search_pattern.h"
#include "workers/rewards/text_rules.h"

namespace jigsaw {
namespace {

class RegexMatch final : public Scorer {
 public:
  RegexMatch(SearchPattern pattern, bool strip) : pattern_(std::move(pattern)), strip_(strip) {}

  Result<double> score(const RewardRequest& request) const override {
    JIGSAW_ASSIGN_OR_RETURN(const bool found,
                            pattern_.found_in(strip_ ? stripped(request.completion) : request.completion));
    return found ? 1.0 : 0.0;
  }

 private:
  SearchPattern pattern_;
  bool strip_;
};

}  // namespace

Result<std::unique_ptr<Scorer>> make_regex_match(const RewardConfig& config) {
  if (config.pattern.empty()) return Error(ErrorCode::kInvalidArgument, "needs a 'pattern'");
  JIGSAW_ASSIGN_OR_RETURN(auto pattern, SearchPattern::create(config.pattern, {.ignore_case = config.ignore_case}));
  return std::unique_ptr<Scorer>(std::make_unique<RegexMatch>(std::move(pattern), config.strip));
}

}  // namespace jigsaw
