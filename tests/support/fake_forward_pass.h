// A model without arithmetic for tests of the engine. Each position of a KV block stores its token and its position,
// and a row's logits are a hash of the tokens read back from the blocks: whoever hands out a wrong, stale or
// overwritten block gets other tokens, or a CHECK that names the position.
#pragma once

#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/philox.h"
#include "rollout/engine/forward_pass.h"
#include "rollout/engine/kv_block_pool.h"

namespace jigsaw::testing {

class FakeForwardPass final : public ForwardPass {
 public:
  // `memory`: logits follow from as many last tokens only, so that text repeats itself; 0 = from all.
  explicit FakeForwardPass(int vocab_size, std::size_t memory = 0) : vocab_size_(vocab_size), memory_(memory) {}

  int vocab_size() const override { return vocab_size_; }
  std::size_t kv_block_floats() const override { return 2 * kPositionsPerBlock; }
  void use_weights(const PolicyWeights&) override {}  // it has none

  std::span<const float> forward(Lane&, const ForwardBatch& batch) override {
    std::set<const float*> written;
    logits_.clear();
    std::size_t row = 0, next_logit_row = 0;
    std::vector<std::size_t> first_rows;
    for (const SequenceRows& sequence : batch.sequences) {
      first_rows.push_back(row);
      int position = sequence.position_begin - 1;
      for (int parent = sequence.parent; parent >= 0;) {
        const SequenceRows& ancestor = batch.sequences[static_cast<std::size_t>(parent)];
        const std::size_t first = first_rows.at(static_cast<std::size_t>(parent));
        for (; position >= ancestor.position_begin; --position) {
          CHECK(position - ancestor.position_begin < ancestor.num_rows);
          write(sequence, position, batch.tokens[first + static_cast<std::size_t>(position - ancestor.position_begin)],
                written);
        }
        parent = ancestor.parent;
      }
      for (int i = 0; i < sequence.num_rows; ++i, ++row) {
        write(sequence, sequence.position_begin + i, batch.tokens[row], written);
        if (next_logit_row == batch.logit_rows.size()) continue;
        if (batch.logit_rows[next_logit_row] != static_cast<std::int32_t>(row)) continue;
        ++next_logit_row;
        const std::vector<float> logits =
            logits_after(read(sequence, sequence.position_begin + i), vocab_size_, memory_);
        logits_.insert(logits_.end(), logits.begin(), logits.end());
      }
    }
    CHECK(row == batch.tokens.size() && next_logit_row == batch.logit_rows.size());
    return logits_;
  }

  // What the model says after these tokens.
  static std::vector<float> logits_after(std::span<const TokenId> tokens, int vocab_size, std::size_t memory = 0) {
    if (memory > 0 && tokens.size() > memory) tokens = tokens.last(memory);
    std::uint64_t hash = 1;
    for (const TokenId token : tokens) hash = philox_key(hash, static_cast<std::uint64_t>(token), 0);
    std::vector<float> logits;
    for (int i = 0; i < vocab_size; ++i) {
      logits.push_back(static_cast<float>(4 * philox_uniform(hash, 1, static_cast<std::uint64_t>(i))));
    }
    return logits;
  }

 private:
  static float* slot(const SequenceRows& sequence, int position) {
    const auto block = static_cast<std::size_t>(position / kPositionsPerBlock);
    CHECK_MSG(block < sequence.blocks.size(), "position " + std::to_string(position) + " has no block");
    return sequence.blocks[block] + 2 * (position % kPositionsPerBlock);
  }

  static void write(const SequenceRows& sequence, int position, TokenId token, std::set<const float*>& written) {
    float* place = slot(sequence, position);
    CHECK_MSG(written.insert(place).second, "two sequences write position " + std::to_string(position) + " of a block");
    place[0] = static_cast<float>(token);
    place[1] = static_cast<float>(position + 1);  // 0 is what an untouched block holds
  }

  static std::vector<TokenId> read(const SequenceRows& sequence, int last_position) {
    std::vector<TokenId> tokens;
    for (int position = 0; position <= last_position; ++position) {
      const float* place = slot(sequence, position);
      CHECK_MSG(place[1] == static_cast<float>(position + 1), "stale keys at position " + std::to_string(position));
      tokens.push_back(static_cast<TokenId>(place[0]));
    }
    return tokens;
  }

  int vocab_size_;
  std::size_t memory_;
  std::vector<float> logits_;
};

}  // namespace jigsaw::testing
