#include "rollout/tokenizer/bpe_model.h"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <utility>

#include "rollout/tokenizer/byte_symbols.h"
#include "rollout/tokenizer/utf8.h"

namespace jigsaw {
namespace {

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
constexpr TokenId kMergedAway = -1;

// The two halves of a merge, in either spelling: "a b" or ["a", "b"].
Result<std::pair<std::string_view, std::string_view>> merge_halves(const nlohmann::json& merge, const JsonPlace& list,
                                                                   std::size_t index) {
  const auto refuse = [&] {
    return list.error(ErrorCode::kCorrupt, "merge " + std::to_string(index) + " is neither \"a b\" nor [\"a\", \"b\"]");
  };
  if (merge.is_array()) {
    if (merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string()) return refuse();
    return std::pair<std::string_view, std::string_view>(merge[0].get_ref<const std::string&>(),
                                                         merge[1].get_ref<const std::string&>());
  }
  if (!merge.is_string()) return refuse();
  const std::string_view text = merge.get_ref<const std::string&>();
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) return refuse();
  return std::pair(text.substr(0, space), text.substr(space + 1));
}

struct TokenText {
  std::string bytes;
  bool is_text;  // pieces of text can become it
};

// What a token of the file stands for.
TokenText token_text(std::string_view spelled, bool is_byte_level) {
  if (!is_byte_level) return {std::string(spelled), true};
  if (auto bytes = bytes_of_symbols(spelled)) return {std::move(*bytes), true};
  return {std::string(spelled), false};
}

}  // namespace

Result<BpeModel> BpeModel::from_json(const JsonPlace& model, bool is_byte_level, const std::vector<ExtraToken>& extra) {
  BpeModel result;
  result.is_byte_level_ = is_byte_level;
  JIGSAW_RETURN_IF_ERROR(result.read_options(model));
  JIGSAW_RETURN_IF_ERROR(result.read_vocabulary(model, extra));
  JIGSAW_RETURN_IF_ERROR(result.read_merges(model));
  return result;
}

Status BpeModel::read_options(const JsonPlace& model) {
  // Old files leave the type out.
  JIGSAW_ASSIGN_OR_RETURN(const std::string type, model.string_or("type", "BPE"));
  if (type != "BPE") {
    return model.error(ErrorCode::kUnsupported, "type '" + type + "': only BPE tokenizers are known here");
  }
  JIGSAW_ASSIGN_OR_RETURN(const bool byte_fallback, model.boolean_or("byte_fallback", false));
  if (byte_fallback) return model.error(ErrorCode::kUnsupported, "byte_fallback");
  if (const auto dropout = model.find("dropout"); dropout && dropout->value() != 0) {
    return dropout->error(ErrorCode::kUnsupported, "random merges");
  }
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    JIGSAW_ASSIGN_OR_RETURN(const std::string text, model.string_or(affix, ""));
    if (!text.empty()) return model.error(ErrorCode::kUnsupported, std::string(affix) + " '" + text + "'");
  }
  JIGSAW_ASSIGN_OR_RETURN(ignore_merges_, model.boolean_or("ignore_merges", false));
  JIGSAW_ASSIGN_OR_RETURN(fuse_unknown_, model.boolean_or("fuse_unk", false));
  return ok_status();
}

Status BpeModel::read_vocabulary(const JsonPlace& model, const std::vector<ExtraToken>& extra) {
  JIGSAW_ASSIGN_OR_RETURN(const JsonPlace place, model.member("vocab"));
  if (!place.value().is_object()) return place.error(ErrorCode::kCorrupt, "should be an object of token: id");
  const auto& entries = place.value();
  const auto ids_max =
      std::min(Vocabulary::kIdsMax, static_cast<std::int64_t>(entries.size() + extra.size()) + Vocabulary::kHolesMax);
  std::int64_t num_ids = 0;
  for (const auto& [token, id] : entries.items()) {
    const JsonPlace entry(id, place.path() + "['" + token + "']");
    JIGSAW_ASSIGN_OR_RETURN(const std::int64_t number, entry.integer(0, ids_max - 1));
    num_ids = std::max(num_ids, number + 1);
  }
  for (const ExtraToken& token : extra) num_ids = std::max(num_ids, std::int64_t{token.id} + 1);
  vocabulary_->reserve_ids(num_ids);
  for (const auto& [token, number] : entries.items()) {
    const auto id = number.get<TokenId>();
    if (vocabulary_->contains(id)) {
      return place.error(ErrorCode::kCorrupt, "id " + std::to_string(id) + " has two tokens, one is '" + token + "'");
    }
    const TokenText text = token_text(token, is_byte_level_);
    vocabulary_->add(id, text.bytes, text.is_text);
  }
  for (const ExtraToken& token : extra) {
    if (vocabulary_->contains(token.id)) {
      return place.error(ErrorCode::kCorrupt,
                         "id " + std::to_string(token.id) + " is also that of the added token '" + token.spelled + "'");
    }
    vocabulary_->add(token.id, token_text(token.spelled, is_byte_level_).bytes, false);
  }
  vocabulary_->finish();
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    byte_tokens_[byte] = vocabulary_->find({&c, 1}).value_or(-1);
  }
  JIGSAW_ASSIGN_OR_RETURN(const std::string unknown, model.string_or("unk_token", ""));
  if (const auto found = entries.find(unknown); found != entries.end() && !unknown.empty()) {
    unknown_ = found->get<TokenId>();
  } else if (!unknown.empty() && !is_byte_complete()) {
    return model.error(ErrorCode::kCorrupt, "unk_token '" + unknown + "' is not in the vocabulary");
  }
  return ok_status();
}

bool BpeModel::is_byte_complete() const {
  return is_byte_level_ && std::none_of(byte_tokens_.begin(), byte_tokens_.end(), [](TokenId id) { return id < 0; });
}

Status BpeModel::read_merges(const JsonPlace& model) {
  JIGSAW_ASSIGN_OR_RETURN(const JsonPlace place, model.member("merges"));
  if (!place.value().is_array()) return place.error(ErrorCode::kCorrupt, "should be a list");
  JIGSAW_ASSIGN_OR_RETURN(const JsonPlace vocab_place, model.member("vocab"));
  std::unordered_map<std::string_view, TokenId> ids;
  for (const auto& [token, id] : vocab_place.value().items()) ids.emplace(token, id.get<TokenId>());
  merges_ = MergeTable(place.value().size());
  std::uint32_t rank = 0;
  std::string joined;
  for (std::size_t i = 0; i < place.value().size(); ++i) {
    const auto& merge = place.value()[i];
    if (merge.is_string() && merge.get_ref<const std::string&>().starts_with("#version")) continue;
    JIGSAW_ASSIGN_OR_RETURN(const auto halves, merge_halves(merge, place, i));
    joined.assign(halves.first).append(halves.second);
    std::array<TokenId, 3> found{};
    const std::array<std::string_view, 3> wanted{halves.first, halves.second, joined};
    for (std::size_t k = 0; k < wanted.size(); ++k) {
      const auto id = ids.find(wanted[k]);
      if (id == ids.end()) {
        return place.error(ErrorCode::kCorrupt, "merge " + std::to_string(i) + " needs the token '" +
                                                    std::string(wanted[k]) + "', which is not in the vocabulary");
      }
      found[k] = id->second;
    }
    merges_.set(found[0], found[1], {rank++, found[2]});
  }
  return ok_status();
}

void BpeModel::encode(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const {
  if (ignore_merges_) {
    if (const auto whole = vocabulary_->find(piece)) {
      out.push_back(*whole);
      return;
    }
  }
  if (cache_->find(piece, out)) return;
  make_symbols(piece, scratch.symbols);
  merge_symbols(scratch);
  const std::size_t begin = out.size();
  for (const Scratch::Symbol& symbol : scratch.symbols) {
    if (symbol.token != kMergedAway) out.push_back(symbol.token);
  }
  cache_->insert(piece, std::span(out).subspan(begin));
}

void BpeModel::make_symbols(std::string_view piece, std::vector<Scratch::Symbol>& symbols) const {
  CHECK(piece.size() < kNone);
  symbols.clear();
  bool after_unknown = false;
  for (std::size_t i = 0; i < piece.size();) {
    TokenId token = -1;
    if (is_byte_level_) {
      token = byte_tokens_[static_cast<unsigned char>(piece[i++])];
    } else {
      const std::size_t num_bytes = code_point_at(piece, i).num_bytes;
      token = vocabulary_->find(piece.substr(i, num_bytes)).value_or(-1);
      i += num_bytes;
    }
    const bool is_unknown = token < 0;
    if (is_unknown && unknown_ && !(fuse_unknown_ && after_unknown)) token = *unknown_;
    after_unknown = is_unknown && unknown_;
    if (token < 0) continue;
    const auto place = static_cast<std::uint32_t>(symbols.size());
    symbols.push_back({token, place - 1, place + 1});  // the first one's previous is kNone
  }
  if (!symbols.empty()) symbols.back().next = kNone;
}

// Puts the merge of the symbol at `left` with the next one on the heap, if they merge.
void BpeModel::offer(Scratch& scratch, std::uint32_t left) const {
  const Scratch::Symbol& symbol = scratch.symbols[left];
  if (symbol.next == kNone) return;
  const Merge* merge = merges_.find(symbol.token, scratch.symbols[symbol.next].token);
  if (merge == nullptr) return;
  scratch.heap.push_back({std::uint64_t{merge->rank} << 32 | left, merge->token});
  std::push_heap(scratch.heap.begin(), scratch.heap.end(),
                 [](const auto& a, const auto& b) { return a.order > b.order; });
}

void BpeModel::merge_symbols(Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  heap.clear();
  for (std::uint32_t i = 0; i < symbols.size(); ++i) offer(scratch, i);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), [](const auto& a, const auto& b) { return a.order > b.order; });
    const Scratch::Candidate candidate = heap.back();
    heap.pop_back();
    const auto place = static_cast<std::uint32_t>(candidate.order);
    Scratch::Symbol& left = symbols[place];
    // Either may have merged with another since: then what stands there now makes another token or none.
    if (left.token == kMergedAway || left.next == kNone) continue;
    Scratch::Symbol& right = symbols[left.next];
    const Merge* merge = merges_.find(left.token, right.token);
    if (merge == nullptr || merge->token != candidate.token) continue;
    left.token = merge->token;
    left.next = right.next;
    right.token = kMergedAway;
    if (left.next != kNone) symbols[left.next].previous = place;
    if (left.previous != kNone) offer(scratch, left.previous);
    offer(scratch, place);
  }
}

}  // namespace jigsaw
