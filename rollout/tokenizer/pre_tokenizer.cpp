#include "rollout/tokenizer/pre_tokenizer.h"

#include <utility>

#include "rollout/tokenizer/utf8.h"

namespace jigsaw {
namespace {

constexpr std::string_view kGpt2Pattern = R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::size_t kStepsMax = 64;

// A pattern that matches `text` itself.
std::string literal_pattern(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    const bool is_word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (c > ' ' && c < 0x7F && !is_word) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

}  // namespace

Result<PreTokenizer> PreTokenizer::from_json(const std::optional<JsonPlace>& pre_tokenizer) {
  PreTokenizer result;
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<JsonPlace> steps, sequence_steps(pre_tokenizer, "pretokenizers"));
  for (const JsonPlace& step : steps) JIGSAW_RETURN_IF_ERROR(result.add_step(step));
  return result;
}

Status PreTokenizer::add_step(const JsonPlace& place) {
  JIGSAW_ASSIGN_OR_RETURN(const std::string type, place.type());
  if (steps_.size() >= kStepsMax) return place.error(ErrorCode::kUnsupported, "more steps than anyone needs");
  if (is_byte_level_) return place.error(ErrorCode::kUnsupported, "a step behind ByteLevel");
  if (type == "Split") {
    JIGSAW_ASSIGN_OR_RETURN(Split split, split_from_json(place));
    steps_.emplace_back(std::move(split));
  } else if (type == "Digits") {
    JIGSAW_ASSIGN_OR_RETURN(const bool individual, place.boolean_or("individual_digits", false));
    steps_.emplace_back(Digits{individual ? Behavior::kIsolated : Behavior::kContiguous});
  } else if (type == "ByteLevel") {
    JIGSAW_ASSIGN_OR_RETURN(const bool add_prefix_space, place.boolean_or("add_prefix_space", true));
    JIGSAW_ASSIGN_OR_RETURN(const bool use_regex, place.boolean_or("use_regex", true));
    ByteLevel byte_level{add_prefix_space, std::nullopt};
    if (use_regex) {
      JIGSAW_ASSIGN_OR_RETURN(Regex regex, Regex::create(kGpt2Pattern));
      byte_level.split = Split{std::move(regex), Behavior::kIsolated, false};
    }
    steps_.emplace_back(std::move(byte_level));
    is_byte_level_ = true;
  } else {
    return place.error(
        ErrorCode::kUnsupported,
        "type '" + type + "' is not among the pre-tokenizers known here: ByteLevel, Digits, Sequence, Split");
  }
  return ok_status();
}

Result<PreTokenizer::Split> PreTokenizer::split_from_json(const JsonPlace& place) {
  JIGSAW_ASSIGN_OR_RETURN(const JsonPlace pattern_place, place.member("pattern"));
  std::string pattern;
  auto source = pattern_place.find("Regex");
  if (source) {
    JIGSAW_ASSIGN_OR_RETURN(pattern, source->string());
  } else {
    JIGSAW_ASSIGN_OR_RETURN(source, pattern_place.member("String"));
    JIGSAW_ASSIGN_OR_RETURN(const std::string text, source->string());
    pattern = literal_pattern(text);
  }
  auto regex = Regex::create(pattern);
  if (!regex) return regex.error().with_context(source->path());
  JIGSAW_ASSIGN_OR_RETURN(const JsonPlace behavior_place, place.member("behavior"));
  JIGSAW_ASSIGN_OR_RETURN(const Behavior behavior, behavior_from_json(behavior_place));
  JIGSAW_ASSIGN_OR_RETURN(const bool invert, place.boolean_or("invert", false));
  return Split{std::move(*regex), behavior, invert};
}

Result<PreTokenizer::Behavior> PreTokenizer::behavior_from_json(const JsonPlace& place) {
  JIGSAW_ASSIGN_OR_RETURN(const std::string name, place.string());
  if (name == "Removed") return Behavior::kRemoved;
  if (name == "Isolated") return Behavior::kIsolated;
  if (name == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behavior::kMergedWithNext;
  if (name == "Contiguous") return Behavior::kContiguous;
  return place.error(ErrorCode::kCorrupt,
                     "'" + name + "' is none of Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
}

void PreTokenizer::split(std::string_view text, Pieces& pieces) const {
  pieces.prefixed.clear();
  pieces.pieces.clear();
  if (!text.empty()) pieces.pieces.push_back(text);
  for (const Step& step : steps_) {
    pieces.next.clear();
    for (const std::string_view piece : pieces.pieces) {
      std::visit([&](const auto& kind) { apply(kind, piece, pieces); }, step);
    }
    std::swap(pieces.pieces, pieces.next);
  }
}

void PreTokenizer::apply(const Split& split, std::string_view text, Pieces& pieces) {
  split.regex.find_all(text, pieces.matches);
  pieces.parts.clear();
  std::size_t end = 0;
  for (const Regex::Match& match : pieces.matches) {
    if (end != match.begin) pieces.parts.push_back({end, match.begin, split.invert});
    pieces.parts.push_back({match.begin, match.end, !split.invert});
    end = match.end;
  }
  if (end != text.size()) pieces.parts.push_back({end, text.size(), split.invert});
  emit_parts(text, split.behavior, pieces);
}

void PreTokenizer::apply(const Digits& digits, std::string_view text, Pieces& pieces) {
  pieces.parts.clear();
  std::size_t gap_begin = 0;
  for (std::size_t i = 0; i < text.size();) {
    const DecodedCodePoint point = code_point_at(text, i);
    const std::size_t end = i + point.num_bytes;
    if (is_numeric(point.value)) {
      if (gap_begin != i) pieces.parts.push_back({gap_begin, i, false});
      pieces.parts.push_back({i, end, true});
      gap_begin = end;
    }
    i = end;
  }
  if (gap_begin != text.size()) pieces.parts.push_back({gap_begin, text.size(), false});
  emit_parts(text, digits.behavior, pieces);
}

void PreTokenizer::apply(const ByteLevel& byte_level, std::string_view text, Pieces& pieces) {
  if (byte_level.add_prefix_space && !text.starts_with(' ')) {
    text = pieces.prefixed.emplace_back(" " + std::string(text));
  }
  if (byte_level.split) {
    apply(*byte_level.split, text, pieces);
  } else {
    pieces.next.push_back(text);
  }
}

void PreTokenizer::emit_parts(std::string_view text, Behavior behavior, Pieces& pieces) {
  std::vector<Pieces::Part>& parts = pieces.parts;
  const auto emit = [&](std::size_t begin, std::size_t end) {
    if (begin != end) pieces.next.push_back(text.substr(begin, end - begin));
  };
  switch (behavior) {
    case Behavior::kRemoved:
      for (const auto& part : parts) {
        if (!part.is_match) emit(part.begin, part.end);
      }
      return;
    case Behavior::kIsolated:
      for (const auto& part : parts) emit(part.begin, part.end);
      return;
    case Behavior::kContiguous:  // matches in a row are one piece
    case Behavior::kMergedWithPrevious: {
      const bool contiguous = behavior == Behavior::kContiguous;
      bool previous = false;
      std::size_t begin = 0;
      for (std::size_t i = 0; i < parts.size(); ++i) {
        const bool joins = contiguous ? parts[i].is_match == previous : parts[i].is_match && !previous;
        if (!joins && i > 0) {
          emit(begin, parts[i].begin);
          begin = parts[i].begin;
        }
        previous = parts[i].is_match;
      }
      emit(begin, text.size());
      return;
    }
    case Behavior::kMergedWithNext: {
      std::size_t begin = 0;
      for (std::size_t i = 0; i < parts.size(); ++i) {
        const bool is_last = i + 1 == parts.size();
        // Of matches in a row only the last one joins what follows.
        if (is_last || !parts[i].is_match || parts[i + 1].is_match) {
          emit(begin, parts[i].end);
          begin = parts[i].end;
        }
      }
      return;
    }
  }
}

}  // namespace jigsaw
