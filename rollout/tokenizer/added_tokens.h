// Added tokens (special or not) are found in the text before anything else happens to it. Immutable once made; may be
// used from several threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "rollout/tokenizer/json_place.h"
#include "rollout/tokenizer/regex.h"
#include "rollout/tokenizer/tokenizer.h"

namespace jigsaw {

// As in tokenizer.json.
struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool single_word = false;  // not where a letter or digit stands beside it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and after it
  bool normalized = false;   // is looked for after normalisation
  bool special = false;      // of no weight here: encode and decode treat all alike
};

// The "added_tokens" of a tokenizer.json, with the ids that the tokenizers library gives them: that of the vocabulary,
// else the next free one. Where the file says another id, that is an error.
Result<std::vector<AddedToken>> added_tokens_from_json(const JsonPlace& file, const JsonPlace& vocab);

class AddedTokenFinder {
 public:
  static Result<AddedTokenFinder> create(const std::vector<AddedToken>& tokens);

  // A stretch of text, or an added token where `token` is set.
  struct Stretch {
    std::size_t begin, end;
    std::optional<TokenId> token;
  };
  // Appends stretches that cover `text` (valid UTF-8), in order: longest token at the leftmost place.
  void split(std::string_view text, std::vector<Stretch>& stretches) const;
  // The token whose content is `text`.
  const AddedToken* find(std::string_view text) const;

 private:
  AddedTokenFinder() = default;
  static constexpr std::uint32_t kNoToken = UINT32_MAX;
  struct Node {  // of a trie over bytes
    std::vector<std::pair<unsigned char, std::uint32_t>> children;
    std::uint32_t token = kNoToken;  // index into tokens_
  };

  std::uint32_t child(std::uint32_t node, unsigned char byte) const;  // 0, the root, where there is none
  // The longest token at `begin`; null if none.
  const AddedToken* longest_at(std::string_view text, std::size_t begin) const;
  bool is_single_word(std::string_view text, std::size_t begin, std::size_t end) const;
  bool is_word(char32_t point) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::optional<Regex> word_;  // set if a token is single_word
};

}  // namespace jigsaw
