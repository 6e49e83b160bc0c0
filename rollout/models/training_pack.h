// The rows of a training pass: which tokens are run, and which rows' logits are wanted for which targets. Plain values,
// made once per pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "rollout/models/attention_plan.h"
#include "rollout/models/training_pass.h"

namespace jigsaw {

struct TrainingPack {
  std::vector<std::int32_t> tokens;      // R; the last token of a sequence is only a target and has no row
  std::vector<int> sequence_rows;        // rows of each sequence; they add up to R
  std::vector<std::int32_t> logit_rows;  // ascending: from the last prompt token on
  std::vector<std::int32_t> targets;     // as many: the token that follows the row

  int num_rows() const { return static_cast<int>(tokens.size()); }
  int num_logits() const { return static_cast<int>(logit_rows.size()); }
  std::size_t num_kv_blocks() const;
};

// CHECKs lengths and token ids. A sequence without completion takes no rows.
TrainingPack make_training_pack(std::span<const ScoredSequence> sequences, int max_positions, int vocab_size);

// Plans the attention of `pack` over num_kv_blocks() blocks of `block_floats` each that start at `kv`.
void plan_attention(const TrainingPack& pack, float* kv, std::size_t block_floats, AttentionPlan& plan);

}  // namespace jigsaw
