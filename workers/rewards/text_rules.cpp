#include "workers/rewards/text_rules.h"

#include <utf8proc.h>

#include <cstdlib>

namespace jigsaw {

std::string_view stripped(std::string_view text) {
  constexpr std::string_view kWhiteSpace = " \t\n\v\f\r";
  const std::size_t begin = text.find_first_not_of(kWhiteSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kWhiteSpace) - begin + 1);
}

std::string case_folded(std::string_view text) {
  utf8proc_uint8_t* folded = nullptr;
  const auto size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &folded, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD));
  std::string result;
  if (size >= 0) {
    result.assign(reinterpret_cast<const char*>(folded), static_cast<std::size_t>(size));
  } else {
    result = text;
    for (char& c : result) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
  }
  std::free(folded);
  return result;
}

Result<TextRules> TextRules::create(const RewardConfig& config) {
  TextRules rules;
  rules.strip_ = config.strip;
  rules.ignore_case_ = config.ignore_case;
  if (!config.extract.empty()) {
    auto pattern = SearchPattern::create(config.extract, {.ignore_case = config.ignore_case});
    if (!pattern) return pattern.error().with_context("extract");
    rules.extract_ = std::move(*pattern);
  }
  return rules;
}

Result<std::optional<std::string>> TextRules::completion(const RewardRequest& request) const {
  if (!extract_) return std::optional<std::string>(prepared(request.completion));
  JIGSAW_ASSIGN_OR_RETURN(const auto capture, extract_->last_capture(request.completion));
  if (!capture) return std::optional<std::string>();
  return std::optional<std::string>(prepared(*capture));
}

std::string TextRules::prepared(std::string_view text) const {
  if (strip_) text = stripped(text);
  return ignore_case_ ? case_folded(text) : std::string(text);
}

}  // namespace jigsaw
