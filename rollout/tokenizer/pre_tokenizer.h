// Cuts text into the pieces within which merges happen: the "pre_tokenizer" of a tokenizer.json. Immutable once made;
// may be used from several threads.
//
// Known: ByteLevel, Split, Digits and Sequences of them, ByteLevel last. Other kinds are kUnsupported errors.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/result.h"
#include "rollout/tokenizer/json_place.h"
#include "rollout/tokenizer/regex.h"

namespace jigsaw {

class PreTokenizer {
 public:
  // Empty: the text is one piece.
  static Result<PreTokenizer> from_json(const std::optional<JsonPlace>& pre_tokenizer);

  // Whether the merges are of bytes (there is a ByteLevel) or of characters.
  bool is_byte_level() const { return is_byte_level_; }

  // What split() works in; reused from text to text to save allocations.
  struct Pieces {
    std::vector<std::string_view> pieces;  // the result: views of `text` or of `prefixed`; none is empty

    std::vector<std::string_view> next;
    std::deque<std::string> prefixed;  // pieces that got a space in front
    std::vector<Regex::Match> matches;
    struct Part {
      std::size_t begin, end;
      bool is_match;
    };
    std::vector<Part> parts;
  };
  // `text` must be valid UTF-8 and outlive the pieces.
  void split(std::string_view text, Pieces& pieces) const;

 private:
  enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };
  struct Split {
    Regex regex;
    Behavior behavior;
    bool invert;  // what does not match is the delimiter
  };
  struct Digits {
    Behavior behavior;
  };
  struct ByteLevel {
    bool add_prefix_space;
    std::optional<Split> split;  // GPT-2's pattern
  };
  using Step = std::variant<Split, Digits, ByteLevel>;

  Status add_step(const JsonPlace& place);
  static Result<Split> split_from_json(const JsonPlace& place);
  static Result<Behavior> behavior_from_json(const JsonPlace& place);

  static void apply(const Split& split, std::string_view text, Pieces& pieces);
  static void apply(const Digits& digits, std::string_view text, Pieces& pieces);
  static void apply(const ByteLevel& byte_level, std::string_view text, Pieces& pieces);
  static void emit_parts(std::string_view text, Behavior behavior, Pieces& pieces);

  std::vector<Step> steps_;
  bool is_byte_level_ = false;
};

}  // namespace jigsaw
