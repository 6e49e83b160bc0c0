#include "rollout/tokenizer/added_tokens.h"

#include <algorithm>
#include <unordered_map>

#include "rollout/tokenizer/utf8.h"
#include "rollout/tokenizer/vocabulary.h"

namespace jigsaw {
namespace {

// Bounds the time to look for tokens at one place of the text.
constexpr std::size_t kContentBytesMax = 1024;

Result<AddedToken> added_token_from_json(const JsonPlace& place) {
  AddedToken token;
  JIGSAW_ASSIGN_OR_RETURN(const JsonPlace content, place.member("content"));
  JIGSAW_ASSIGN_OR_RETURN(token.content, content.string());
  if (token.content.size() > kContentBytesMax) return content.error(ErrorCode::kUnsupported, "too long a token");
  JIGSAW_ASSIGN_OR_RETURN(const JsonPlace id, place.member("id"));
  JIGSAW_ASSIGN_OR_RETURN(const std::int64_t number, id.integer(0, Vocabulary::kIdsMax - 1));
  token.id = static_cast<TokenId>(number);
  JIGSAW_ASSIGN_OR_RETURN(token.single_word, place.boolean_or("single_word", false));
  JIGSAW_ASSIGN_OR_RETURN(token.lstrip, place.boolean_or("lstrip", false));
  JIGSAW_ASSIGN_OR_RETURN(token.rstrip, place.boolean_or("rstrip", false));
  JIGSAW_ASSIGN_OR_RETURN(token.normalized, place.boolean_or("normalized", true));
  JIGSAW_ASSIGN_OR_RETURN(token.special, place.boolean_or("special", false));
  return token;
}

}  // namespace

Result<std::vector<AddedToken>> added_tokens_from_json(const JsonPlace& file, const JsonPlace& vocab) {
  std::vector<AddedToken> tokens;
  const auto list = file.find("added_tokens");
  if (!list) return tokens;
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<JsonPlace> elements, list->elements());
  std::unordered_map<std::string, std::size_t> seen;
  auto next_id = static_cast<std::int64_t>(vocab.value().size());
  for (const JsonPlace& place : elements) {
    JIGSAW_ASSIGN_OR_RETURN(AddedToken token, added_token_from_json(place));
    if (token.content.empty()) continue;
    std::int64_t id = next_id;
    const auto [previous, is_new] = seen.emplace(token.content, tokens.size());
    const auto in_vocab = vocab.find(token.content);
    if (!is_new) {
      id = tokens[previous->second].id;
    } else if (in_vocab) {
      JIGSAW_ASSIGN_OR_RETURN(id, in_vocab->integer(0, Vocabulary::kIdsMax - 1));
    } else {
      ++next_id;
    }
    if (id != token.id) {
      return place.error(ErrorCode::kCorrupt, "the token '" + token.content + "' has id " + std::to_string(token.id) +
                                                  ", but by the vocabulary and the tokens before it that is " +
                                                  std::to_string(id));
    }
    if (is_new) {
      tokens.push_back(std::move(token));
    } else {
      tokens[previous->second] = std::move(token);  // the last one's flags count
    }
  }
  return tokens;
}

Result<AddedTokenFinder> AddedTokenFinder::create(const std::vector<AddedToken>& tokens) {
  AddedTokenFinder finder;
  finder.tokens_ = tokens;
  finder.nodes_.emplace_back();
  for (std::uint32_t i = 0; i < tokens.size(); ++i) {
    std::uint32_t node = 0;
    for (const char c : tokens[i].content) {
      const auto byte = static_cast<unsigned char>(c);
      std::uint32_t next = finder.child(node, byte);
      if (next == 0) {
        next = static_cast<std::uint32_t>(finder.nodes_.size());
        auto& children = finder.nodes_[node].children;
        children.insert(std::lower_bound(children.begin(), children.end(), std::pair(byte, next)), {byte, next});
        finder.nodes_.emplace_back();
      }
      node = next;
    }
    if (node != 0) finder.nodes_[node].token = i;
    if (tokens[i].single_word && !finder.word_) {
      // What Rust's \w holds beside Oniguruma's are the two joiners.
      JIGSAW_ASSIGN_OR_RETURN(finder.word_, Regex::create(R"([\w\x{200C}\x{200D}])"));
    }
  }
  return finder;
}

std::uint32_t AddedTokenFinder::child(std::uint32_t node, unsigned char byte) const {
  const auto& children = nodes_[node].children;
  const auto found = std::lower_bound(children.begin(), children.end(), std::pair(byte, std::uint32_t{0}));
  return found != children.end() && found->first == byte ? found->second : 0;
}

const AddedToken* AddedTokenFinder::longest_at(std::string_view text, std::size_t begin) const {
  const AddedToken* longest = nullptr;
  std::uint32_t node = 0;
  for (std::size_t i = begin; i < text.size(); ++i) {
    node = child(node, static_cast<unsigned char>(text[i]));
    if (node == 0) break;
    if (nodes_[node].token != kNoToken) longest = &tokens_[nodes_[node].token];
  }
  return longest;
}

const AddedToken* AddedTokenFinder::find(std::string_view text) const {
  const AddedToken* found = text.empty() ? nullptr : longest_at(text, 0);
  return found != nullptr && found->content == text ? found : nullptr;
}

bool AddedTokenFinder::is_word(char32_t point) const {
  std::string character;
  append_utf8(point, character);
  std::vector<Regex::Match> matches;
  word_->find_all(character, matches);
  return !matches.empty();
}

bool AddedTokenFinder::is_single_word(std::string_view text, std::size_t begin, std::size_t end) const {
  const bool word_before = begin > 0 && is_word(code_point_before(text, begin).value);
  const bool word_after = end < text.size() && is_word(code_point_at(text, end).value);
  return !word_before && !word_after;
}

void AddedTokenFinder::split(std::string_view text, std::vector<Stretch>& stretches) const {
  std::size_t done = 0;
  const bool has_tokens = !nodes_[0].children.empty();
  for (std::size_t i = 0; has_tokens && i < text.size();) {
    const AddedToken* token = longest_at(text, i);
    if (token == nullptr) {
      ++i;
      continue;
    }
    std::size_t begin = i, end = i + token->content.size();
    i = end;
    if (token->single_word && !is_single_word(text, begin, end)) continue;
    if (token->lstrip) {
      while (begin > done) {
        const DecodedCodePoint before = code_point_before(text, begin);
        if (!is_white_space(before.value)) break;
        begin -= before.num_bytes;
      }
    }
    while (token->rstrip && end < text.size()) {
      const DecodedCodePoint after = code_point_at(text, end);
      if (!is_white_space(after.value)) break;
      end += after.num_bytes;
    }
    if (begin > done) stretches.push_back({done, begin, std::nullopt});
    stretches.push_back({begin, end, token->id});
    done = end;
  }
  if (done < text.size()) stretches.push_back({done, text.size(), std::nullopt});
}

}  // namespace jigsaw
