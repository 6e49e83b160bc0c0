// The rows of a training pass: which tokens are run, and which rows' logits are wanted for which targets. Plain values,
// made once per pass.
//
// Neighbours with the same prompt, such as a group's completions, share its rows: they are run once, and their gradient
// is the sum over all completions. The prompt's last token, whose logits are the first that are wanted, is each
// sequence's own.
//
//   prompt a b c, completions x y | u:   rows  a b | c x | c
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "rollout/models/attention_plan.h"
#include "rollout/models/training_pass.h"

namespace jigsaw {

struct PackSequence {
  int num_rows = 0;
  int prefix = -1;  // the earlier sequence whose rows come before its own, if any
};

struct TrainingPack {
  std::vector<std::int32_t> tokens;      // R; the last token of a sequence is only a target and has no row
  std::vector<PackSequence> sequences;   // whose rows add up to R
  std::vector<std::int32_t> logit_rows;  // ascending: from the last prompt token on, before tokens that were drawn
  std::vector<std::int32_t> targets;     // as many: the token that follows the row

  int num_rows() const { return static_cast<int>(tokens.size()); }
  int num_logits() const { return static_cast<int>(logit_rows.size()); }
  std::size_t num_kv_blocks() const;
  // Positions of a sequence, its prefix included.
  int num_positions(const PackSequence& sequence) const {
    return sequence.num_rows +
           (sequence.prefix < 0 ? 0 : sequences[static_cast<std::size_t>(sequence.prefix)].num_rows);
  }
};

// CHECKs lengths and token ids. A sequence without completion takes no rows.
TrainingPack make_training_pack(std::span<const ScoredSequence> sequences, int max_positions, int vocab_size);

// Plans the attention of `pack` over num_kv_blocks() blocks of `block_floats` each that start at `kv`.
void plan_attention(const TrainingPack& pack, float* kv, std::size_t block_floats, AttentionPlan& plan);

}  // namespace jigsaw
