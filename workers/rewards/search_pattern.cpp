#define PCRE2_CODE_UNIT_WIDTH 8
#include "workers/rewards/search_pattern.h"

#include <pcre2.h>

#include <algorithm>
#include <array>
#include <string>

namespace jigsaw {
namespace {

constexpr std::size_t kPatternBytesMax = std::size_t{1} << 16;
constexpr std::uint32_t kHeapKibMax = 64 * 1024;

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 256> message{};
  pcre2_get_error_message(code, message.data(), message.size());
  return reinterpret_cast<const char*>(message.data());
}

// PCRE2 counts its steps anew at each place where a match may start, so the longer the text, the fewer there may be;
// but going through the whole text from each place, as .* does, is always allowed.
std::uint32_t steps_max(std::size_t text_bytes) {
  constexpr std::size_t kStepsOfAll = 20'000'000, kStepsMax = 1'000'000;
  const std::size_t linear = std::min(kStepsMax, 20 * text_bytes + 10'000);
  return static_cast<std::uint32_t>(std::clamp(kStepsOfAll / (text_bytes + 1), linear, kStepsMax));
}

struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeMatchContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

}  // namespace

struct SearchPattern::Compiled {
  pcre2_code* code = nullptr;
  std::uint32_t num_groups = 0;

  Compiled() = default;
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  ~Compiled() { pcre2_code_free(code); }
};

SearchPattern::SearchPattern(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}
SearchPattern::~SearchPattern() = default;
SearchPattern::SearchPattern(SearchPattern&&) noexcept = default;
SearchPattern& SearchPattern::operator=(SearchPattern&&) noexcept = default;

Result<SearchPattern> SearchPattern::create(std::string_view pattern, Options options) {
  if (pattern.size() > kPatternBytesMax) {
    return Error(ErrorCode::kInvalidArgument, "the pattern is over " + std::to_string(kPatternBytesMax) + " bytes");
  }
  std::uint32_t flags = PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
  if (options.ignore_case) flags |= PCRE2_CASELESS;
  if (options.whole) flags |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
  auto compiled = std::make_unique<Compiled>();
  int code = 0;
  PCRE2_SIZE offset = 0;
  compiled->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), flags, &code, &offset, nullptr);
  if (compiled->code == nullptr) {
    const std::size_t place = std::min<std::size_t>(offset, pattern.size());
    return Error(ErrorCode::kInvalidArgument, "the pattern breaks at byte " + std::to_string(place) +
                                                  ", marked <-- in '" + std::string(pattern.substr(0, place)) + "<--" +
                                                  std::string(pattern.substr(place)) + "': " + message_of(code));
  }
  pcre2_pattern_info(compiled->code, PCRE2_INFO_CAPTURECOUNT, &compiled->num_groups);
  return SearchPattern(std::move(compiled));
}

Result<bool> SearchPattern::found_in(std::string_view text) const {
  JIGSAW_ASSIGN_OR_RETURN(const auto capture, last_capture(text));
  return capture.has_value();
}

Result<std::optional<std::string_view>> SearchPattern::last_capture(std::string_view text) const {
  const std::unique_ptr<pcre2_match_data, FreeMatchData> data(
      pcre2_match_data_create_from_pattern(compiled_->code, nullptr));
  const std::unique_ptr<pcre2_match_context, FreeMatchContext> context(pcre2_match_context_create(nullptr));
  CHECK(data && context);
  pcre2_set_match_limit(context.get(), steps_max(text.size()));
  pcre2_set_heap_limit(context.get(), kHeapKibMax);
  const std::uint32_t group = compiled_->num_groups > 0 ? 1 : 0;
  std::optional<std::string_view> last;
  for (std::size_t from = 0; from <= text.size();) {
    const int count = pcre2_match(compiled_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, 0,
                                  data.get(), context.get());
    if (count == PCRE2_ERROR_NOMATCH) break;
    if (count < 0) {
      return Error(ErrorCode::kResourceExhausted, "the pattern takes too long on this completion (" +
                                                      message_of(count) +
                                                      "); nested repeats such as (a+)+ are the usual cause");
    }
    const PCRE2_SIZE* found = pcre2_get_ovector_pointer(data.get());
    const bool is_set = static_cast<std::uint32_t>(count) > group && found[2 * group] != PCRE2_UNSET;
    last = is_set ? text.substr(found[2 * group], found[2 * group + 1] - found[2 * group]) : std::string_view();
    // Behind an empty match the search goes on one byte further; PCRE2 steps over the rest of a character.
    from = std::max<std::size_t>(found[1], from) + (found[1] <= found[0] ? 1 : 0);
  }
  return last;
}

}  // namespace jigsaw
