// A model whose passes take a time of the test's choosing, on a clock that the test shares with the engine: what
// decides whether drafts pay is then no accident of the machine.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "rollout/engine/forward_pass.h"
#include "tests/support/fake_clock.h"

namespace jigsaw::testing {

class TimedForwardPass final : public ForwardPass {
 public:
  using Cost = std::function<std::chrono::nanoseconds(std::size_t rows)>;

  TimedForwardPass(std::unique_ptr<ForwardPass> model, FakeClock& clock, Cost cost)
      : model_(std::move(model)), clock_(clock), cost_(std::move(cost)) {}

  int vocab_size() const override { return model_->vocab_size(); }
  std::size_t kv_block_floats() const override { return model_->kv_block_floats(); }
  std::span<const float> forward(Lane& lane, const ForwardBatch& batch) override {
    clock_.advance(cost_(batch.tokens.size()));
    return model_->forward(lane, batch);
  }
  void use_weights(const PolicyWeights& weights) override { model_->use_weights(weights); }

 private:
  std::unique_ptr<ForwardPass> model_;
  FakeClock& clock_;
  Cost cost_;
};

}  // namespace jigsaw::testing
