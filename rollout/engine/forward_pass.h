// What the engine needs of a model. The real one is the Transformer (transformer_pass.cpp); tests put in a fake that
// checks which blocks it is given. Engine thread only.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "core/clock.h"
#include "core/lane.h"
#include "rollout/engine/rollout_engine.h"
#include "rollout/models/transformer.h"

namespace jigsaw {

class ForwardPass {
 public:
  virtual ~ForwardPass() = default;
  virtual int vocab_size() const = 0;
  virtual std::size_t kv_block_floats() const = 0;
  // As Transformer::forward: logits [logit_rows][V], valid until the next call. Each row's logits depend on that
  // sequence's tokens alone.
  virtual std::span<const float> forward(Lane& lane, const ForwardBatch& batch) = 0;
  // As Transformer::use_weights.
  virtual void use_weights(const PolicyWeights& weights) = 0;
};

// `weights` outlives the pass, or its use of them.
std::unique_ptr<ForwardPass> make_transformer_pass(const PolicyWeights& weights, int max_positions);

// The engine over any model; RolloutEngine::create is this with a transformer pass. `clock` measures what passes take;
// it outlives the engine.
Result<std::unique_ptr<RolloutEngine>> make_rollout_engine(std::unique_ptr<ForwardPass> model,
                                                           std::vector<TokenId> eos_tokens, const Tokenizer* tokenizer,
                                                           const EngineOptions& options,
                                                           const Clock& clock = system_clock());

}  // namespace jigsaw
