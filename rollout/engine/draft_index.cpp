#include "rollout/engine/draft_index.h"

#include <algorithm>

#include "core/check.h"

namespace jigsaw {
namespace {

constexpr std::size_t kHeadsMin = 256;

}  // namespace

int DraftIndex::add_text(int num_shared) {
  texts_.push_back({.num_shared = texts_.empty() ? 0 : num_shared, .tokens = {}, .previous = {}});
  return static_cast<int>(texts_.size()) - 1;
}

void DraftIndex::extend(int text, std::span<const TokenId> tokens) {
  Text& grown = texts_[static_cast<std::size_t>(text)];
  CHECK(grown.tokens.size() <= tokens.size());
  const std::size_t num_new = std::min(tokens.size() - grown.tokens.size(), num_tokens_max_ - num_tokens_);
  const auto begin = static_cast<int>(grown.tokens.size());
  grown.tokens.insert(grown.tokens.end(), tokens.begin() + begin,
                      tokens.begin() + begin + static_cast<std::ptrdiff_t>(num_new));
  num_tokens_ += num_new;
  if (num_tokens_ > heads_[0].size()) grow_heads();
  for (int position = begin; position < static_cast<int>(grown.tokens.size()); ++position) link(text, position);
}

// Of the context before `position`, which has as many tokens.
std::size_t DraftIndex::slot(std::size_t order, const Text& text, int position) const {
  std::uint64_t hash = 0;
  for (int i = position - kOrders[order]; i < position; ++i) {
    hash = (hash + static_cast<std::uint32_t>(text.tokens[static_cast<std::size_t>(i)]) + 1) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  }
  return static_cast<std::size_t>(hash) & (heads_[order].size() - 1);
}

void DraftIndex::link(int text, int position) {
  Text& linked = texts_[static_cast<std::size_t>(text)];
  if (position < linked.num_shared) return;
  for (std::size_t order = 0; order < kOrders.size(); ++order) {
    Place previous;
    if (position >= kOrders[order]) {
      Place& head = heads_[order][slot(order, linked, position)];
      previous = head;
      head = {text, position};
    }
    linked.previous[order].push_back(previous);
  }
}

// Twice as many heads as tokens, so that chains are mostly of one context. Links all texts again, one after the other.
void DraftIndex::grow_heads() {
  std::size_t num_heads = kHeadsMin;
  while (num_heads < 2 * num_tokens_) num_heads *= 2;
  for (auto& heads : heads_) heads.assign(num_heads, {});
  for (int text = 0; text < static_cast<int>(texts_.size()); ++text) {
    Text& linked = texts_[static_cast<std::size_t>(text)];
    const int end = linked.num_shared + static_cast<int>(linked.previous[0].size());
    for (auto& previous : linked.previous) previous.clear();
    for (int position = linked.num_shared; position < end; ++position) link(text, position);
  }
}

// How many tokens before `position` of `other` equal the last ones of `context`.
int DraftIndex::match_length(const Text& context, const Text& other, int position) const {
  const auto end = static_cast<int>(context.tokens.size());
  const int length_max = std::min({kLengthMax, end, position});
  int length = 0;
  while (length < length_max && context.tokens[static_cast<std::size_t>(end - 1 - length)] ==
                                    other.tokens[static_cast<std::size_t>(position - 1 - length)]) {
    ++length;
  }
  return length;
}

void DraftIndex::find(int text, std::vector<Match>& matches) const {
  const Text& context = texts_[static_cast<std::size_t>(text)];
  const auto end = static_cast<int>(context.tokens.size());
  const std::size_t first = matches.size();
  for (std::size_t order = 0; order < kOrders.size(); ++order) {
    if (end < kOrders[order] || heads_[order].empty()) continue;
    Place place = heads_[order][slot(order, context, end)];
    for (int step = 0; step < kStepsMax[order] && place.text >= 0; ++step) {
      const Text& other = texts_[static_cast<std::size_t>(place.text)];
      const int length = match_length(context, other, place.position);
      const bool is_new = std::none_of(
          matches.begin() + static_cast<std::ptrdiff_t>(first), matches.end(),
          [&](const Match& match) { return match.text == place.text && match.position == place.position; });
      // Shorter than the order: another context with the same hash.
      if (length >= kOrders[order] && is_new) matches.push_back({place.text, place.position, length});
      place = other.previous[order][static_cast<std::size_t>(place.position - other.num_shared)];
    }
  }
  std::stable_sort(matches.begin() + static_cast<std::ptrdiff_t>(first), matches.end(),
                   [](const Match& a, const Match& b) { return a.length > b.length; });
  if (matches.size() > first + kMatchesMax) matches.resize(first + kMatchesMax);
}

}  // namespace jigsaw
