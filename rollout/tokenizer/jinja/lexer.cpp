#include "rollout/tokenizer/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "rollout/tokenizer/utf8.h"

namespace jigsaw::jinja {
namespace {

using Kind = Token::Kind;

constexpr std::size_t kTagTokensMax = 1000;

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// "\n" for all newlines, and none at the end.
std::string with_plain_newlines(std::string_view source) {
  std::string result;
  result.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    result += source[i] == '\r' ? '\n' : source[i];
  }
  if (result.ends_with('\n')) result.pop_back();
  return result;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(with_plain_newlines(source)), in_(source_) {}

  Result<std::vector<Token>> run() {
    while (true) {
      const std::size_t tag = next_tag();
      text_before(tag);
      if (tag == std::string_view::npos) break;
      const char kind = in_[tag + 1];
      move_to(tag + 2);
      if (next_is("-") || next_is("+")) move_to(at_ + 1);  // text_before() has seen to it
      if (kind == '#') {
        JIGSAW_RETURN_IF_ERROR(comment());
      } else {
        JIGSAW_RETURN_IF_ERROR(tag_tokens(kind));
      }
      at_line_start_ = in_[at_ - 1] == '\n';
    }
    add(Kind::kEnd);
    return std::move(tokens_);
  }

 private:
  Error error(const std::string& what, ErrorCode code = ErrorCode::kCorrupt) const {
    return Error(code, "line " + std::to_string(line_) + ": " + what);
  }
  void add(Kind kind, std::string text = "", std::int64_t integer = 0) {
    tokens_.push_back({kind, std::move(text), integer, line_});
  }
  void move_to(std::size_t position) {
    line_ += static_cast<int>(std::count(in_.begin() + at_, in_.begin() + position, '\n'));
    at_ = position;
  }
  bool next_is(std::string_view text) const { return in_.substr(at_, text.size()) == text; }

  std::size_t next_tag() const {
    for (std::size_t i = at_; (i = in_.find('{', i)) != std::string_view::npos; ++i) {
      if (i + 1 < in_.size() && (in_[i + 1] == '{' || in_[i + 1] == '%' || in_[i + 1] == '#')) return i;
    }
    return std::string_view::npos;
  }

  // The text up to the tag at `end`, stripped as the tag says.
  void text_before(std::size_t end) {
    std::string_view text = in_.substr(at_, end == std::string_view::npos ? end : end - at_);
    if (end != std::string_view::npos) {
      const char sign = end + 2 < in_.size() ? in_[end + 2] : '\0';
      if (sign == '-') {
        while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
      } else if (sign != '+' && in_[end + 1] != '{') {
        // A block tag takes the indentation before it along, if it is the first thing on its line.
        const std::size_t newline = text.rfind('\n');
        const std::size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
        if ((line_begin > 0 || at_line_start_) && std::all_of(text.begin() + line_begin, text.end(), is_space)) {
          text = text.substr(0, line_begin);
        }
      }
    }
    if (!text.empty()) add(Kind::kText, std::string(text));
    move_to(std::min(end, in_.size()));
  }

  // Moves past a tag's end and the white space that goes with it: all of it after -%}, one newline after %} and #}.
  void end_tag(std::size_t end, bool strip, bool trim_newline) {
    move_to(end);
    std::size_t next = at_;
    if (strip) {
      while (next < in_.size() && is_space(in_[next])) ++next;
    } else if (trim_newline && next < in_.size() && in_[next] == '\n') {
      ++next;
    }
    move_to(next);
  }

  Status comment() {
    const std::size_t end = in_.find("#}", at_);
    if (end == std::string_view::npos) return error("a comment without its #}");
    const char sign = end > at_ ? in_[end - 1] : '\0';
    end_tag(end + 2, sign == '-', sign != '+');
    return ok_status();
  }

  Status tag_tokens(char kind) {
    const bool is_block = kind == '%';
    const std::string_view close = is_block ? "%}" : "}}";
    add(is_block ? Kind::kBlockBegin : Kind::kOutputBegin);
    std::string brackets;  // those open
    const std::size_t first = tokens_.size();
    while (true) {
      // Bounds how deep the expression's tree can be.
      if (tokens_.size() - first > kTagTokensMax) return error("too long a tag", ErrorCode::kUnsupported);
      while (at_ < in_.size() && is_space(in_[at_])) move_to(at_ + 1);
      if (at_ >= in_.size()) return error("a tag without its end");
      const bool signed_close = (in_[at_] == '-' || (is_block && in_[at_] == '+')) && in_.substr(at_ + 1, 2) == close;
      if (brackets.empty() && (signed_close || next_is(close))) {
        const bool strip = in_[at_] == '-';
        const bool trim_newline = is_block && !signed_close;
        add(is_block ? Kind::kBlockEnd : Kind::kOutputEnd);
        end_tag(at_ + (signed_close ? 3 : 2), strip, trim_newline);
        return ok_status();
      }
      JIGSAW_RETURN_IF_ERROR(token(brackets));
    }
  }

  Status token(std::string& brackets) {
    const char c = in_[at_];
    if (is_name_start(c)) {
      std::size_t end = at_;
      while (end < in_.size() && (is_name_start(in_[end]) || is_digit(in_[end]))) ++end;
      add(Kind::kName, std::string(in_.substr(at_, end - at_)));
      move_to(end);
      return ok_status();
    }
    if (is_digit(c)) return number();
    if (c == '\'' || c == '"') return string(c);
    for (const std::string_view two : {"==", "!=", "<=", ">=", "//", "**"}) {
      if (!next_is(two)) continue;
      add(Kind::kOperator, std::string(two));
      move_to(at_ + 2);
      return ok_status();
    }
    constexpr std::string_view kSingle = "+-/*%~[](){}<>=.:|,";
    if (kSingle.find(c) == std::string_view::npos) return error(std::string("unexpected '") + c + "'");
    constexpr std::string_view kOpen = "([{", kClose = ")]}";
    if (kOpen.find(c) != std::string_view::npos) brackets += kClose[kOpen.find(c)];
    if (kClose.find(c) != std::string_view::npos) {
      if (!brackets.ends_with(c)) return error(std::string("unexpected '") + c + "'");
      brackets.pop_back();
    }
    add(Kind::kOperator, std::string(1, c));
    move_to(at_ + 1);
    return ok_status();
  }

  Status number() {
    std::int64_t value = 0;
    const auto [end, code] = std::from_chars(in_.data() + at_, in_.data() + in_.size(), value);
    const std::size_t next = static_cast<std::size_t>(end - in_.data());
    const bool has_point = next + 1 < in_.size() && in_[next] == '.' && is_digit(in_[next + 1]);
    const bool runs_on = next < in_.size() && is_name_start(in_[next]);
    if (code != std::errc() || has_point || runs_on)
      return error("a number that is no plain integer", ErrorCode::kUnsupported);
    add(Kind::kInteger, "", value);
    move_to(next);
    return ok_status();
  }

  Status string(char quote) {
    std::string text;
    std::size_t i = at_ + 1;
    while (i < in_.size() && in_[i] != quote) {
      if (in_[i] != '\\') {
        text += in_[i++];
      } else {
        JIGSAW_RETURN_IF_ERROR(escape(i, text));
      }
    }
    if (i >= in_.size()) return error("a string without its end");
    add(Kind::kString, std::move(text));
    move_to(i + 1);
    return ok_status();
  }

  // Python's escapes; one that Python does not know stands for itself, backslash and all.
  Status escape(std::size_t& i, std::string& text) const {
    const char c = i + 1 < in_.size() ? in_[i + 1] : '\0';
    constexpr std::string_view kFrom = "\\'\"abfnrtv", kTo = "\\'\"\a\b\f\n\r\t\v";
    if (c != '\0' && kFrom.find(c) != std::string_view::npos) {
      text += kTo[kFrom.find(c)];
      i += 2;
      return ok_status();
    }
    if (c == '\n') {
      i += 2;
      return ok_status();
    }
    if (c == 'N' || is_digit(c)) return error("this kind of escape in a string", ErrorCode::kUnsupported);
    const std::size_t num_digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (num_digits == 0) {
      text += '\\';
      ++i;
      return ok_status();
    }
    const std::string_view digits = in_.substr(std::min(i + 2, in_.size()), num_digits);
    std::uint32_t value = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (code != std::errc() || end != digits.data() + num_digits || value > 0x10FFFF || (value & ~0x7FFu) == 0xD800) {
      return error("a malformed escape in a string");
    }
    append_utf8(static_cast<char32_t>(value), text);
    i += 2 + num_digits;
    return ok_status();
  }

  std::string source_;
  std::string_view in_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace jigsaw::jinja
