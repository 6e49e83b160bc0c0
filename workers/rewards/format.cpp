// format: 1 if the whole completion has the wanted form, else 0. Without a pattern: any text, then one answer between
// <answer> and </answer> at the end.
#include "workers/rewards/scorers.h"
#include "workers/rewards/search_pattern.h"
#include "workers/rewards/text_rules.h"

namespace jigsaw {
namespace {

constexpr std::string_view kAnswerPattern =
    "(?s)(?:(?!</?answer>).)*+<answer>(?:(?!</?answer>).)++</answer>";  // possessive: no tag, so no stepping back

class Format final : public Scorer {
 public:
  Format(SearchPattern pattern, bool strip) : pattern_(std::move(pattern)), strip_(strip) {}

  Result<double> score(const RewardRequest& request) const override {
    JIGSAW_ASSIGN_OR_RETURN(const bool matches,
                            pattern_.found_in(strip_ ? stripped(request.completion) : request.completion));
    return matches ? 1.0 : 0.0;
  }

 private:
  SearchPattern pattern_;
  bool strip_;
};

}  // namespace

Result<std::unique_ptr<Scorer>> make_format(const RewardConfig& config) {
  const std::string_view wanted = config.pattern.empty() ? kAnswerPattern : std::string_view(config.pattern);
  JIGSAW_ASSIGN_OR_RETURN(auto pattern,
                          SearchPattern::create(wanted, {.ignore_case = config.ignore_case, .whole = true}));
  return std::unique_ptr<Scorer>(std::make_unique<Format>(std::move(pattern), config.strip));
}

}  // namespace jigsaw
