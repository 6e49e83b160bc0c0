#include "rollout/models/training_pack.h"

#include <string>

#include "core/check.h"

namespace jigsaw {
namespace {

std::size_t blocks_of(int num_rows) {
  return static_cast<std::size_t>((num_rows + kernels::kPanel - 1) / kernels::kPanel);
}

}  // namespace

std::size_t TrainingPack::num_kv_blocks() const {
  std::size_t blocks = 0;
  for (const int rows : sequence_rows) blocks += blocks_of(rows);
  return blocks;
}

TrainingPack make_training_pack(std::span<const ScoredSequence> sequences, int max_positions, int vocab_size) {
  TrainingPack pack;
  for (const ScoredSequence& sequence : sequences) {
    const int length = static_cast<int>(sequence.tokens.size());
    CHECK(sequence.prompt_length >= 1 && sequence.prompt_length <= length);
    CHECK_MSG(length <= max_positions, "a sequence of " + std::to_string(length) + " tokens is longer than " +
                                           std::to_string(max_positions) + " positions");
    for (const std::int32_t token : sequence.tokens) CHECK(token >= 0 && token < vocab_size);
    if (sequence.prompt_length == length) continue;
    const int first_row = pack.num_rows();
    pack.tokens.insert(pack.tokens.end(), sequence.tokens.begin(), sequence.tokens.end() - 1);
    pack.sequence_rows.push_back(length - 1);
    for (int i = sequence.prompt_length; i < length; ++i) {
      pack.logit_rows.push_back(first_row + i - 1);
      pack.targets.push_back(sequence.tokens[static_cast<std::size_t>(i)]);
    }
  }
  return pack;
}

void plan_attention(const TrainingPack& pack, float* kv, std::size_t block_floats, AttentionPlan& plan) {
  plan.clear();
  std::vector<float*> blocks;
  for (const int rows : pack.sequence_rows) {
    blocks.clear();
    for (std::size_t i = 0; i < blocks_of(rows); ++i, kv += block_floats) blocks.push_back(kv);
    plan.add_sequence(rows, 0, blocks);
  }
}

}  // namespace jigsaw
