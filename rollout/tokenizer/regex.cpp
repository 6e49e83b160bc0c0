#define PCRE2_CODE_UNIT_WIDTH 8
#include "rollout/tokenizer/regex.h"

#include <pcre2.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "rollout/tokenizer/pattern_rewrite.h"
#include "rollout/tokenizer/unicode_tables.h"
#include "rollout/tokenizer/utf8.h"

namespace jigsaw {
namespace {

constexpr std::size_t kPatternBytesMax = 1 << 16;
constexpr std::uint32_t kMatchStepsMin = 10'000'000;  // PCRE2's own default
constexpr std::uint32_t kMatchHeapKibMax = 256 * 1024;

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Code = std::unique_ptr<pcre2_code, Free<pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Free<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Free<pcre2_match_context_free>>;

// `text` with each character that is newer than Unicode 14 replaced by its proxy, which changes no offset. Empty, as is
// usual, if there is none.
std::optional<std::string> with_proxies(std::string_view text) {
  const auto proxies = proxy_ranges();
  std::optional<std::string> result;
  for (std::size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0xE0) {  // one and two bytes: none of them is new
      ++i;
      continue;
    }
    const DecodedCodePoint point = code_point_at(text, i);
    const auto after = std::upper_bound(proxies.begin(), proxies.end(), point.value,
                                        [](char32_t value, const ProxyRange& range) { return value < range.first; });
    if (after != proxies.begin() && point.value <= std::prev(after)->last) {
      if (!result) result = std::string(text);
      std::string proxy;
      append_utf8(std::prev(after)->proxy, proxy);
      result->replace(i, point.num_bytes, proxy);
    }
    i += point.num_bytes;
  }
  return result;
}

}  // namespace

struct Regex::Compiled {
  Code code;
  bool has_jit = false;
};

Regex::Regex(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}
Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

Result<Regex> Regex::create(std::string_view pattern) {
  if (pattern.size() > kPatternBytesMax) {
    return Error(ErrorCode::kUnsupported, "a pattern of " + std::to_string(pattern.size()) + " bytes");
  }
  JIGSAW_ASSIGN_OR_RETURN(const std::string rewritten, rewrite_pattern_for_pcre2(pattern));
  int code = 0;
  PCRE2_SIZE offset = 0;
  auto compiled = std::make_unique<Compiled>();
  // Ruby's ^ and $ are always those of lines.
  compiled->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(rewritten.data()), rewritten.size(),
                                     PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &code, &offset, nullptr));
  if (!compiled->code) {
    std::array<PCRE2_UCHAR, 256> message{};
    pcre2_get_error_message(code, message.data(), message.size());
    return Error(ErrorCode::kUnsupported, "PCRE2 refuses '" + rewritten + "' at byte " + std::to_string(offset) + ": " +
                                              reinterpret_cast<const char*>(message.data()));
  }
  compiled->has_jit = pcre2_jit_compile(compiled->code.get(), PCRE2_JIT_COMPLETE) == 0;
  return Regex(std::move(compiled));
}

void Regex::find_all(std::string_view text, std::vector<Match>& matches) const {
  matches.clear();
  const std::optional<std::string> proxied = with_proxies(text);
  const std::string_view subject_text = proxied ? std::string_view(*proxied) : text;
  const auto subject = reinterpret_cast<PCRE2_SPTR>(subject_text.data());
  const pcre2_code* code = compiled_->code.get();
  const MatchData data(pcre2_match_data_create(1, nullptr));
  const MatchContext context(pcre2_match_context_create(nullptr));
  CHECK(data && context);
  // Stepping back over one long run of spaces is legitimate and takes as many steps as the run is long.
  const std::size_t steps = std::clamp<std::size_t>(16 * text.size(), kMatchStepsMin, UINT32_MAX);
  pcre2_set_match_limit(context.get(), static_cast<std::uint32_t>(steps));
  pcre2_set_heap_limit(context.get(), kMatchHeapKibMax);

  const auto match_from = [&](std::size_t from) {
    int count = PCRE2_ERROR_JIT_STACKLIMIT;
    if (compiled_->has_jit) {
      count = pcre2_jit_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, data.get(), context.get());
    }
    if (count == PCRE2_ERROR_JIT_STACKLIMIT) {  // the interpreter keeps its stack on the heap
      count =
          pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data.get(), context.get());
    }
    return count >= 0;
  };

  std::size_t from = 0;
  std::optional<std::size_t> last_end;
  while (from <= text.size() && match_from(from)) {
    const PCRE2_SIZE* found = pcre2_get_ovector_pointer(data.get());
    if (found[0] == found[1] && last_end == found[1]) {  // no empty match right behind a match
      from += from < text.size() ? code_point_at(text, from).num_bytes : 1;
      continue;
    }
    matches.push_back({found[0], found[1]});
    from = found[1];
    last_end = found[1];
  }
}

}  // namespace jigsaw
