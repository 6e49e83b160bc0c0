#include "rollout/engine/forward_pass.h"

namespace jigsaw {
namespace {

class TransformerPass final : public ForwardPass {
 public:
  TransformerPass(const PolicyWeights& weights, int max_positions)
      : vocab_size_(weights.config().vocab_size), transformer_(weights, max_positions) {}

  int vocab_size() const override { return vocab_size_; }
  std::size_t kv_block_floats() const override { return transformer_.kv_block_floats(); }
  std::span<const float> forward(Lane& lane, const ForwardBatch& batch) override {
    return transformer_.forward(lane, batch);
  }
  void use_weights(const PolicyWeights& weights) override { transformer_.use_weights(weights); }

 private:
  int vocab_size_;
  Transformer transformer_;
};

}  // namespace

std::unique_ptr<ForwardPass> make_transformer_pass(const PolicyWeights& weights, int max_positions) {
  return std::make_unique<TransformerPass>(weights, max_positions);
}

Result<std::unique_ptr<RolloutEngine>> RolloutEngine::create(const PolicyWeights& weights, const Tokenizer* tokenizer,
                                                             const EngineOptions& options) {
  // Before the pass is made: its rope table is as long as max_positions.
  JIGSAW_RETURN_IF_ERROR(validate(options));
  return make_rollout_engine(make_transformer_pass(weights, options.max_positions), weights.config().eos_tokens,
                             tokenizer, options);
}

}  // namespace jigsaw
