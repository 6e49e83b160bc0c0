#include "rollout/tokenizer/pattern_rewrite.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace jigsaw {
namespace {

constexpr std::string_view kWordClass = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
// Outside a class, but not in one, Oniguruma's \w also holds the superscripts and fractions of Latin-1.
constexpr std::string_view kLatin1Numbers = R"(\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";

constexpr std::pair<std::string_view, std::string_view> kCategories[] = {
    {"l", "L"},
    {"lu", "Lu"},
    {"ll", "Ll"},
    {"lt", "Lt"},
    {"lm", "Lm"},
    {"lo", "Lo"},
    {"m", "M"},
    {"mn", "Mn"},
    {"mc", "Mc"},
    {"me", "Me"},
    {"n", "N"},
    {"nd", "Nd"},
    {"nl", "Nl"},
    {"no", "No"},
    {"p", "P"},
    {"pc", "Pc"},
    {"pd", "Pd"},
    {"ps", "Ps"},
    {"pe", "Pe"},
    {"pi", "Pi"},
    {"pf", "Pf"},
    {"po", "Po"},
    {"s", "S"},
    {"sm", "Sm"},
    {"sc", "Sc"},
    {"sk", "Sk"},
    {"so", "So"},
    {"z", "Z"},
    {"zs", "Zs"},
    {"zl", "Zl"},
    {"zp", "Zp"},
    {"c", "C"},
    {"cc", "Cc"},
    {"cf", "Cf"},
    {"cn", "Cn"},
    {"co", "Co"},
    {"cs", "Cs"},
    {"letter", "L"},
    {"mark", "M"},
    {"number", "N"},
    {"punctuation", "P"},
    {"symbol", "S"},
    {"separator", "Z"},
    {"other", "C"},
    {"uppercaseletter", "Lu"},
    {"lowercaseletter", "Ll"},
    {"titlecaseletter", "Lt"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"decimalnumber", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
};

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex_digit(char c) { return is_ascii_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

class Rewriter {
 public:
  explicit Rewriter(std::string_view pattern) : in_(pattern) {}

  Result<std::string> run() {
    while (at_ < in_.size()) {
      switch (in_[at_]) {
        case '\\': JIGSAW_RETURN_IF_ERROR(escape(/*in_class=*/false)); break;
        case '[': JIGSAW_RETURN_IF_ERROR(character_class()); break;
        case '(': JIGSAW_RETURN_IF_ERROR(group()); break;
        case '{': JIGSAW_RETURN_IF_ERROR(brace()); break;
        default: out_ += in_[at_++];
      }
    }
    return std::move(out_);
  }

 private:
  Error unsupported(std::string_view what) const {
    return Error(ErrorCode::kUnsupported, std::string(what) + " at byte " + std::to_string(at_) + " of the pattern");
  }

  // The character `ahead` of the current one; 0 past the end.
  char peek(std::size_t ahead) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  bool next_is(std::string_view text) const { return in_.substr(at_, text.size()) == text; }

  void put(std::string_view text, std::size_t num_read) {
    out_ += text;
    at_ += num_read;
  }

  Status escape(bool in_class) {
    const char c = peek(1);
    switch (c) {
      case '\0': return unsupported("a lone backslash");
      case 's': put(R"(\p{White_Space})", 2); return ok_status();
      case 'S': put(R"(\P{White_Space})", 2); return ok_status();
      case 'd': put(R"(\p{Nd})", 2); return ok_status();
      case 'D': put(R"(\P{Nd})", 2); return ok_status();
      case 'v': put(R"(\x{0b})", 2); return ok_status();
      case 'p':
      case 'P': return property();
      case 'x':
      case 'u': return code_point();
      case 'n':
      case 'r':
      case 't':
      case 'f':
      case 'a':
      case 'e': put(in_.substr(at_, 2), 2); return ok_status();
      case 'w':
        if (in_class) {
          put(kWordClass, 2);
        } else {
          put("[" + std::string(kWordClass) + std::string(kLatin1Numbers) + "]", 2);
        }
        return ok_status();
      case 'W':
        if (in_class) return unsupported("\\W inside a class");
        put("[^" + std::string(kWordClass) + std::string(kLatin1Numbers) + "]", 2);
        return ok_status();
      case 'A':
      case 'z':
      case 'Z':
        if (in_class) break;
        put(in_.substr(at_, 2), 2);
        return ok_status();
      default: break;
    }
    if (is_ascii_letter(c) || is_ascii_digit(c)) return unsupported(std::string("the escape \\") + c);
    if (static_cast<unsigned char>(c) < 0x80) {
      put(in_.substr(at_, 2), 2);
    } else {
      ++at_;  // an escaped non-ASCII character is that character
    }
    return ok_status();
  }

  // \p{Name}, \p{^Name}, \P{Name}
  Status property() {
    const std::size_t close = in_.find('}', at_);
    if (peek(2) != '{' || close == std::string_view::npos) return unsupported("a property without {name}");
    bool negated = in_[at_ + 1] == 'P';
    std::string_view name = in_.substr(at_ + 3, close - at_ - 3);
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    std::string folded;
    for (const char c : name) {
      if (c == ' ' || c == '_' || c == '-') continue;
      if (!is_ascii_letter(c)) return unsupported("the property '" + std::string(name) + "'");
      folded += static_cast<char>(c | 0x20);
    }
    const auto* category = std::find_if(std::begin(kCategories), std::end(kCategories),
                                        [&](const auto& known) { return known.first == folded; });
    out_ += negated ? "\\P{" : "\\p{";
    // Anything else can only be a script; PCRE2 refuses it if it is none.
    out_ += category != std::end(kCategories) ? std::string(category->second) : "sc:" + folded;
    out_ += '}';
    at_ = close + 1;
    return ok_status();
  }

  // \x41, \x{41}, \u0041
  Status code_point() {
    std::size_t begin = at_ + 2, end = begin;
    const bool braced = in_[at_ + 1] == 'x' && peek(2) == '{';
    if (braced) end = ++begin;
    const std::size_t num_max = braced ? 8 : in_[at_ + 1] == 'x' ? 2 : 4;
    while (end < in_.size() && end - begin < num_max && is_hex_digit(in_[end])) ++end;
    const std::string digits(in_.substr(begin, end - begin));
    const bool closed = !braced || (end < in_.size() && in_[end] == '}');
    if (digits.empty() || !closed || (!braced && digits.size() < num_max)) return unsupported("a malformed \\x or \\u");
    // \x80 to \xff are raw bytes to Oniguruma, not characters.
    if (num_max == 2 && digits[0] >= '8') return unsupported("the byte escape \\x" + digits);
    out_ += "\\x{" + digits + "}";
    at_ = end + (braced ? 1 : 0);
    return ok_status();
  }

  Status character_class() {
    put("[", 1);
    if (peek(0) == '^') put("^", 1);
    if (peek(0) == ']') return unsupported("a class that begins with ]");
    while (true) {
      if (at_ >= in_.size()) return unsupported("a class without its ]");
      if (in_[at_] == ']') break;
      if (in_[at_] == '[') return unsupported("a class inside a class");
      if (next_is("&&")) return unsupported("an intersection of classes");
      if (in_[at_] == '\\') {
        JIGSAW_RETURN_IF_ERROR(escape(/*in_class=*/true));
      } else {
        out_ += in_[at_++];
      }
    }
    put("]", 1);
    return ok_status();
  }

  Status group() {
    constexpr std::array<std::string_view, 9> kSame = {
        "(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:", "(?-i:", "(?i)"};
    for (const std::string_view opening : kSame) {
      if (!next_is(opening)) continue;
      put(opening, opening.size());
      return ok_status();
    }
    if (peek(1) == '?' || peek(1) == '*') return unsupported("this kind of group");
    put("(?:", 1);  // nothing refers back to it
    return ok_status();
  }

  // An interval {n}, {n,}, {n,m}, {,m}, or else a literal brace.
  Status brace() {
    std::size_t i = at_ + 1;
    const auto number = [&] {
      const std::size_t begin = i;
      while (i < in_.size() && is_ascii_digit(in_[i])) ++i;
      return std::string(in_.substr(begin, i - begin));
    };
    const std::string low = number();
    std::optional<std::string> high;
    if (i < in_.size() && in_[i] == ',') {
      ++i;
      high = number();
    }
    if (i >= in_.size() || in_[i] != '}' || (low.empty() && (!high || high->empty()))) {
      put("\\{", 1);
      return ok_status();
    }
    const char after = i + 1 < in_.size() ? in_[i + 1] : '\0';
    if (after == '+') return unsupported("a repeated interval");
    if (after == '?' && !high) return unsupported("an optional interval");
    out_ += "{" + (low.empty() ? "0" : low) + (high ? "," + *high : "") + "}";
    at_ = i + 1;
    return ok_status();
  }

  std::string_view in_;
  std::size_t at_ = 0;
  std::string out_;
};

}  // namespace

Result<std::string> rewrite_pattern_for_pcre2(std::string_view pattern) { return Rewriter(pattern).run(); }

}  // namespace jigsaw
