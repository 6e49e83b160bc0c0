#include "rollout/tokenizer/jinja/text_operations.h"

#include "rollout/tokenizer/utf8.h"

namespace jigsaw::jinja {
namespace {

// Python counts the four information separators as white space, Unicode does not.
bool is_python_space(char32_t point) { return is_white_space(point) || (point >= 0x1C && point <= 0x1F); }

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }

Error too_large() { return Error(ErrorCode::kResourceExhausted, "cuts or makes too large a text"); }

}  // namespace

Result<std::vector<std::string>> characters(std::string_view text) {
  if (text.size() > kPartsMax) return too_large();
  std::vector<std::string> result;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t num_bytes = code_point_at(text, i).num_bytes;
    result.emplace_back(text.substr(i, num_bytes));
    i += num_bytes;
  }
  return result;
}

std::string strip(std::string_view text, const std::optional<std::string>& characters, bool left, bool right) {
  const auto goes = [&](std::size_t position, const DecodedCodePoint& point) {
    if (!characters) return is_python_space(point.value);
    return characters->find(text.substr(position, point.num_bytes)) != std::string::npos;
  };
  while (left && !text.empty()) {
    const DecodedCodePoint point = code_point_at(text, 0);
    if (!goes(0, point)) break;
    text.remove_prefix(point.num_bytes);
  }
  while (right && !text.empty()) {
    const DecodedCodePoint point = code_point_before(text, text.size());
    if (!goes(text.size() - point.num_bytes, point)) break;
    text.remove_suffix(point.num_bytes);
  }
  return std::string(text);
}

Result<std::vector<std::string>> split(std::string_view text, const std::optional<std::string>& separator) {
  std::vector<std::string> parts;
  if (separator) {
    std::size_t begin = 0;
    while (parts.size() < kPartsMax) {
      const std::size_t end = text.find(*separator, begin);
      parts.emplace_back(text.substr(begin, end == std::string_view::npos ? end : end - begin));
      if (end == std::string_view::npos) return parts;
      begin = end + separator->size();
    }
    return too_large();
  }
  bool in_part = false;
  for (std::size_t i = 0; i < text.size();) {
    const DecodedCodePoint point = code_point_at(text, i);
    const bool is_space = is_python_space(point.value);
    if (!is_space && !in_part) parts.emplace_back();
    if (!is_space) parts.back() += text.substr(i, point.num_bytes);
    in_part = !is_space;
    i += point.num_bytes;
    if (parts.size() > kPartsMax) return too_large();
  }
  return parts;
}

Result<std::string> replace(std::string_view text, std::string_view from, std::string_view to) {
  if (from.empty()) return Error(ErrorCode::kUnsupported, "replaces nothing by something");
  std::string result;
  std::size_t begin = 0;
  for (std::size_t at; (at = text.find(from, begin)) != std::string_view::npos; begin = at + from.size()) {
    result.append(text.substr(begin, at - begin)).append(to);
    if (result.size() > kTextBytesMax) return too_large();
  }
  return result.append(text.substr(begin));
}

Result<std::string> change_case(std::string_view text, LetterCase letter_case) {
  std::string result(text);
  bool in_word = false;
  for (char& c : result) {
    if (static_cast<unsigned char>(c) >= 0x80) {
      return Error(ErrorCode::kUnsupported, "changes the case of '" + result + "', which is not ASCII");
    }
    const bool up = letter_case == LetterCase::kUpper || (letter_case == LetterCase::kTitle && !in_word) ||
                    (letter_case == LetterCase::kCapitalized && &c == result.data());
    in_word = is_upper(c) || is_lower(c);
    if (up && is_lower(c)) {
      c = static_cast<char>(c - 32);
    } else if (!up && is_upper(c)) {
      c = static_cast<char>(c + 32);
    }
  }
  return result;
}

}  // namespace jigsaw::jinja
