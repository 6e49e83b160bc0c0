#include "rollout/engine/draft_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <utility>
#include <vector>

namespace jigsaw {
namespace {

using Matches = std::map<std::pair<int, int>, int>;  // (text, position) -> length

Matches find(const DraftIndex& index, int text) {
  std::vector<DraftIndex::Match> found;
  index.find(text, found);
  EXPECT_TRUE(std::ranges::is_sorted(found, std::greater<>(), &DraftIndex::Match::length));
  Matches matches;
  for (const auto& match : found) {
    EXPECT_TRUE(matches.emplace(std::pair(match.text, match.position), match.length).second) << "found twice";
  }
  return matches;
}

TEST(DraftIndexTest, FindsWhereTheEndHasStoodBefore) {
  DraftIndex index;
  const int text = index.add_text(0);
  index.extend(text, std::vector<TokenId>{1, 2, 3, 4, 5, 9, 9, 1, 2, 3, 4});
  EXPECT_EQ(find(index, text), (Matches{{{text, 4}, 4}}));
  EXPECT_EQ(index.token(text, 4), 5);
  index.extend(text, std::vector<TokenId>{1, 2, 3, 4, 5, 9, 9, 1, 2, 3, 4, 9});
  EXPECT_EQ(find(index, text), (Matches{{{text, 7}, 1}, {{text, 6}, 1}}));
}

TEST(DraftIndexTest, FindsItInTheOthersOfTheGroupWithTheirPromptOnce) {
  DraftIndex index;
  const int first = index.add_text(2), second = index.add_text(2);
  index.extend(first, std::vector<TokenId>{7, 8, 1, 2});
  index.extend(second, std::vector<TokenId>{7, 8, 1});
  // The prompt's own places are those of the first text; after it each text has its own.
  EXPECT_EQ(find(index, second), (Matches{{{first, 3}, 3}}));
  index.extend(second, std::vector<TokenId>{7, 8, 1, 7});
  EXPECT_EQ(find(index, second), (Matches{{{first, 1}, 1}}));
}

// Against a search of all places; chains are longer than these texts, so nothing is cut off.
TEST(DraftIndexTest, FindsAllPlacesOfShortTexts) {
  std::mt19937 random(5);
  for (int round = 0; round < 50; ++round) {
    DraftIndex index;
    std::vector<std::vector<TokenId>> texts(3);
    for (std::size_t text = 0; text < texts.size(); ++text) index.add_text(0);
    for (int added = 0; added < 40; ++added) {
      const std::size_t text = random() % texts.size();
      for (std::uint32_t i = 0; i <= random() % 3; ++i) texts[text].push_back(static_cast<TokenId>(random() % 8));
      index.extend(static_cast<int>(text), texts[text]);
    }
    for (std::size_t asked = 0; asked < texts.size(); ++asked) {
      Matches expected;
      for (std::size_t text = 0; text < texts.size(); ++text) {
        for (std::size_t position = 1; position < texts[text].size(); ++position) {
          const auto [a, b] =
              std::mismatch(texts[asked].rbegin(), texts[asked].rend(),
                            texts[text].rend() - static_cast<std::ptrdiff_t>(position), texts[text].rend());
          const auto length = std::min<std::ptrdiff_t>(a - texts[asked].rbegin(), DraftIndex::kLengthMax);
          if (length > 0) expected[{static_cast<int>(text), static_cast<int>(position)}] = static_cast<int>(length);
        }
      }
      const Matches found = find(index, static_cast<int>(asked));
      for (const auto& match : found)
        EXPECT_TRUE(expected.contains(match.first) && expected[match.first] == match.second);
      // Long ones are all there; of short ones the latest.
      for (const auto& match : expected) {
        EXPECT_TRUE(match.second < 4 || found.contains(match.first));
      }
      EXPECT_GE(found.size(), std::min<std::size_t>(expected.size(), 16));
    }
  }
}

TEST(DraftIndexTest, AFullIndexTakesNoMore) {
  DraftIndex index(6);
  const int first = index.add_text(0), second = index.add_text(0);
  index.extend(first, std::vector<TokenId>{1, 2, 1, 2});
  index.extend(second, std::vector<TokenId>{1, 2, 1, 2});
  EXPECT_EQ(index.length_of(second), 2);
  index.extend(first, std::vector<TokenId>{1, 2, 1, 2, 1});
  EXPECT_EQ(index.length_of(first), 4);
}

}  // namespace
}  // namespace jigsaw
