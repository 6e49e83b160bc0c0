#include "rollout/tokenizer/nfc.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "rollout/tokenizer/unicode_tables.h"
#include "rollout/tokenizer/utf8.h"

namespace jigsaw {
namespace {

constexpr auto kDecompose = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE);
constexpr auto kCompose = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);

auto combining_class(utf8proc_int32_t point) { return utf8proc_get_property(point)->combining_class; }

// Stands for a stranger while utf8proc, which may know a newer Unicode, is at work. No text contains a surrogate.
constexpr utf8proc_int32_t kStranger = 0xD800;

bool is_stranger(char32_t point) { return point >= 0x300 && contains(nfc_stranger_ranges(), point); }

// Each run of combining marks is put in the order of their classes. utf8proc would do it by insertion, in quadratic
// time.
void order_combining_marks(std::vector<utf8proc_int32_t>& points) {
  for (auto begin = points.begin(); begin != points.end();) {
    if (combining_class(*begin) == 0) {
      ++begin;
      continue;
    }
    const auto end = std::find_if(begin, points.end(), [](auto point) { return combining_class(point) == 0; });
    std::stable_sort(begin, end, [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }
}

}  // namespace

bool may_change_in_nfc(std::string_view text) {
  // Everything below U+0300, whose lead byte is 0xCC, is in form C and combines with nothing behind it but marks.
  return std::any_of(text.begin(), text.end(), [](char byte) { return static_cast<unsigned char>(byte) >= 0xCC; });
}

std::string to_nfc(std::string_view text) {
  std::vector<utf8proc_int32_t> points;
  std::vector<char32_t> strangers;  // in order; they start a new run, so that they also end in this order
  points.reserve(text.size() + 8);
  for (std::size_t i = 0; i < text.size();) {
    const DecodedCodePoint point = code_point_at(text, i);
    i += point.num_bytes;
    if (is_stranger(point.value)) {
      strangers.push_back(point.value);
      points.push_back(kStranger);
      continue;
    }
    utf8proc_int32_t parts[8];  // four are the most that any character has
    int boundary = 0;
    const auto count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(point.value), parts, 8, kDecompose, &boundary);
    CHECK(count >= 0 && count <= 8);
    points.insert(points.end(), parts, parts + count);
  }
  order_combining_marks(points);
  const auto num_points =
      utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()), kCompose);
  CHECK(num_points >= 0);
  std::string result;
  result.reserve(text.size());
  auto stranger = strangers.begin();
  for (utf8proc_ssize_t i = 0; i < num_points; ++i) {
    append_utf8(points[i] == kStranger ? *stranger++ : static_cast<char32_t>(points[i]), result);
  }
  return result;
}

}  // namespace jigsaw
