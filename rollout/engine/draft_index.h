// The texts of a prefix group (prompt and completion of each member, finished or not), and where their tokens have
// stood before: what followed there is a draft of what comes next. Places are found by hash chains as in LZ77: every
// position is linked to the last one before it whose preceding tokens have the same hash, for long and for short
// contexts. Adding a token costs a few stores and no allocation but the growth of the arrays. Engine thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "rollout/tokenizer/tokenizer.h"

namespace jigsaw {

class DraftIndex {
 public:
  // The token at `position` of a text followed a context whose last `length` tokens are those of the context asked for.
  struct Match {
    std::int32_t text = 0;
    std::int32_t position = 0;
    std::int32_t length = 0;
  };
  static constexpr int kLengthMax = 16;  // longer ones are not told apart

  explicit DraftIndex(std::size_t num_tokens_max = std::size_t{1} << 18) : num_tokens_max_(num_tokens_max) {}

  // An empty text; its first `num_shared` tokens are those of text 0 (the group's prompt), and are not found twice.
  int add_text(int num_shared);
  // Brings a text up to `tokens`, which begin with what it has. When num_tokens_max is reached, no text grows any more.
  void extend(int text, std::span<const TokenId> tokens);

  // Appends to `matches` the places where the end of `text` has stood before, longest context first, then latest; at
  // most kMatchesMax, each once.
  void find(int text, std::vector<Match>& matches) const;
  static constexpr int kMatchesMax = 48;

  int length_of(int text) const { return static_cast<int>(texts_[static_cast<std::size_t>(text)].tokens.size()); }
  TokenId token(int text, int position) const {
    return texts_[static_cast<std::size_t>(text)].tokens[static_cast<std::size_t>(position)];
  }

 private:
  // Contexts that are hashed: of long ones the latest places are worth more than all places of a short one.
  static constexpr std::array<int, 2> kOrders{4, 1};
  static constexpr std::array<int, 2> kStepsMax{32, 24};  // along a chain

  struct Place {
    std::int32_t text = -1, position = -1;
  };
  struct Text {
    int num_shared = 0;
    std::vector<TokenId> tokens;
    std::array<std::vector<Place>, kOrders.size()> previous;  // of every position from num_shared on
  };

  std::size_t slot(std::size_t order, const Text& text, int position) const;
  void link(int text, int position);
  void grow_heads();
  int match_length(const Text& context, const Text& other, int position) const;

  std::size_t num_tokens_max_;
  std::size_t num_tokens_ = 0;
  std::vector<Text> texts_;
  std::array<std::vector<Place>, kOrders.size()> heads_;  // by hash, a power of two of them
};

}  // namespace jigsaw
