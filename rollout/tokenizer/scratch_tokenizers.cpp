// The tokenizers of policies trained from scratch, made as tokenizer.json files that the tokenizers library reads too.
#include <unordered_set>

#include "core/utf8.h"
#include "rollout/tokenizer/bpe_tokenizer.h"
#include "rollout/tokenizer/byte_symbols.h"
#include "rollout/tokenizer/tokenizer.h"
#include "rollout/tokenizer/tokenizer_files.h"
#include "rollout/tokenizer/utf8.h"

namespace jigsaw {
namespace {

using nlohmann::json;

TokenizerFiles scratch_files(std::string origin, TokenizerParts parts) {
  auto id = static_cast<TokenId>(parts.tokens.size());
  for (const char* content : {"<pad>", "<bos>", "<eos>"}) {
    AddedToken token;
    token.id = id++;
    token.content = content;
    token.special = true;
    parts.added_tokens.push_back(token);
  }
  const json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                       {"clean_up_tokenization_spaces", false},
                       {"pad_token", "<pad>"},
                       {"bos_token", "<bos>"},
                       {"eos_token", "<eos>"}};
  return {std::move(origin), make_tokenizer_json(parts), config.dump(2) + "\n", ""};
}

}  // namespace

std::unique_ptr<Tokenizer> make_byte_tokenizer() {
  TokenizerParts parts;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    parts.tokens.push_back(symbols_of_bytes({&c, 1}));
  }
  parts.pre_tokenizer = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  parts.decoder = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  auto tokenizer = BpeTokenizer::create(scratch_files("byte tokenizer", std::move(parts)));
  return std::move(tokenizer.value());
}

Result<std::unique_ptr<Tokenizer>> make_character_tokenizer(std::string_view alphabet) {
  const auto refuse = [](const std::string& what) {
    return Error(ErrorCode::kInvalidArgument, "the alphabet of a character tokenizer " + what);
  };
  if (alphabet.empty()) return refuse("is empty");
  if (!utf8_is_well_formed(alphabet)) return refuse("is not valid UTF-8");
  TokenizerParts parts;
  std::unordered_set<std::string> seen;
  for (std::size_t i = 0; i < alphabet.size();) {
    const std::size_t num_bytes = code_point_at(alphabet, i).num_bytes;
    std::string character(alphabet.substr(i, num_bytes));
    i += num_bytes;
    if (!seen.insert(character).second) return refuse("has '" + character + "' twice");
    parts.tokens.push_back(std::move(character));
  }
  parts.decoder = {{"type", "Fuse"}};
  return BpeTokenizer::create(scratch_files("character tokenizer", std::move(parts)));
}

}  // namespace jigsaw
