// How texts are prepared before they are compared: cut out, stripped, case-folded. Immutable; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "workers/rewards/reward.h"
#include "workers/rewards/search_pattern.h"

namespace jigsaw {

class TextRules {
 public:
  // Of `config`, takes extract, strip and ignore_case.
  static Result<TextRules> create(const RewardConfig& config);

  // The completion, or what `extract` cuts out of it; empty where that pattern is not found.
  Result<std::optional<std::string>> completion(const RewardRequest& request) const;
  // An answer, which is not cut.
  std::string prepared(std::string_view text) const;

 private:
  TextRules() = default;

  std::optional<SearchPattern> extract_;
  bool strip_ = true, ignore_case_ = false;
};

// Without the ASCII white space at both ends.
std::string_view stripped(std::string_view text);
// By Unicode's full case folding (so that "STRASSE" equals "straße"); text that is not UTF-8 by ASCII letters only.
std::string case_folded(std::string_view text);

}  // namespace jigsaw
