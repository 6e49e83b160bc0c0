#include "rollout/tokenizer/vocabulary.h"

namespace jigsaw {

void Vocabulary::add(TokenId id, std::string_view bytes, bool is_text) {
  CHECK(id >= 0 && id < num_ids());
  Span& span = spans_[static_cast<std::size_t>(id)];
  CHECK(!span.is_used && ids_.empty());
  span = {arena_.size(), static_cast<std::uint32_t>(bytes.size()), true, is_text};
  arena_.insert(arena_.end(), bytes.begin(), bytes.end());
}

void Vocabulary::finish() {
  ids_.reserve(spans_.size());
  for (std::size_t id = 0; id < spans_.size(); ++id) {
    if (spans_[id].is_text) ids_.emplace(bytes(static_cast<TokenId>(id)), static_cast<TokenId>(id));
  }
}

bool Vocabulary::contains(TokenId id) const {
  return id >= 0 && id < num_ids() && spans_[static_cast<std::size_t>(id)].is_used;
}

std::string_view Vocabulary::bytes(TokenId id) const {
  if (id < 0 || id >= num_ids()) return {};
  const Span& span = spans_[static_cast<std::size_t>(id)];
  return {arena_.data() + span.begin, span.size};
}

std::optional<TokenId> Vocabulary::find(std::string_view bytes) const {
  const auto found = ids_.find(bytes);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

}  // namespace jigsaw
