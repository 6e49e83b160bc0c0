#include "rollout/models/training_pack.h"

#include <algorithm>
#include <string>

#include "core/check.h"

namespace jigsaw {
namespace {

std::size_t blocks_of(int num_rows) {
  return static_cast<std::size_t>((num_rows + kernels::kPanel - 1) / kernels::kPanel);
}

bool has_completion(const ScoredSequence& sequence) {
  return sequence.prompt_length < static_cast<int>(sequence.tokens.size());
}

// Of tokens of a sequence that are asked about one after the other.
class GivenTokens {
 public:
  explicit GivenTokens(const ScoredSequence& sequence)
      : runs_(sequence.given), prompt_length_(sequence.prompt_length) {}
  bool holds(int position) {
    const int index = position - prompt_length_;
    while (!runs_.empty() && runs_.front().end <= index) runs_ = runs_.subspan(1);
    return !runs_.empty() && runs_.front().begin <= index;
  }

 private:
  std::span<const TokenRun> runs_;
  int prompt_length_;
};

std::span<const std::int32_t> prompt_of(const ScoredSequence& sequence) {
  return sequence.tokens.first(static_cast<std::size_t>(sequence.prompt_length));
}

}  // namespace

std::size_t TrainingPack::num_kv_blocks() const {
  std::size_t blocks = 0;
  for (const PackSequence& sequence : sequences) blocks += blocks_of(num_positions(sequence));
  return blocks;
}

TrainingPack make_training_pack(std::span<const ScoredSequence> sequences, int max_positions, int vocab_size) {
  TrainingPack pack;
  const ScoredSequence* previous = nullptr;  // the last one that has a completion
  int prefix = -1;                           // of sequences with its prompt
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const ScoredSequence& sequence = sequences[i];
    const int length = static_cast<int>(sequence.tokens.size());
    CHECK(sequence.prompt_length >= 1 && sequence.prompt_length <= length);
    CHECK_MSG(length <= max_positions, "a sequence of " + std::to_string(length) + " tokens is longer than " +
                                           std::to_string(max_positions) + " positions");
    for (const std::int32_t token : sequence.tokens) CHECK(token >= 0 && token < vocab_size);
    if (!has_completion(sequence)) continue;
    const auto has_same_prompt = [&](const ScoredSequence& other) {
      return std::ranges::equal(prompt_of(sequence), prompt_of(other));
    };
    const auto add_rows = [&](int begin, int end, int its_prefix) {
      pack.tokens.insert(pack.tokens.end(), sequence.tokens.begin() + begin, sequence.tokens.begin() + end);
      pack.sequences.push_back({.num_rows = end - begin, .prefix = its_prefix});
    };
    if (previous == nullptr || !has_same_prompt(*previous)) {
      const auto rest = sequences.subspan(i + 1);
      const auto next = std::ranges::find_if(rest, has_completion);
      prefix = -1;
      if (sequence.prompt_length > 1 && next != rest.end() && has_same_prompt(*next)) {
        add_rows(0, sequence.prompt_length - 1, -1);
        prefix = static_cast<int>(pack.sequences.size()) - 1;
      }
    }
    previous = &sequence;
    const int first_position = prefix < 0 ? 0 : sequence.prompt_length - 1;
    const int first_row = pack.num_rows() - first_position;  // of position 0
    add_rows(first_position, length - 1, prefix);
    GivenTokens given(sequence);
    for (int position = sequence.prompt_length; position < length; ++position) {
      if (given.holds(position)) continue;
      pack.logit_rows.push_back(first_row + position - 1);
      pack.targets.push_back(sequence.tokens[static_cast<std::size_t>(position)]);
    }
  }
  return pack;
}

void plan_attention(const TrainingPack& pack, float* kv, std::size_t block_floats, AttentionPlan& plan) {
  plan.clear();
  std::vector<float*> blocks;
  for (const PackSequence& sequence : pack.sequences) {
    const int num_positions = pack.num_positions(sequence);
    blocks.clear();
    for (std::size_t i = 0; i < blocks_of(num_positions); ++i, kv += block_floats) blocks.push_back(kv);
    plan.add_sequence(sequence.num_rows, num_positions - sequence.num_rows, blocks, sequence.prefix);
  }
}

}  // namespace jigsaw
