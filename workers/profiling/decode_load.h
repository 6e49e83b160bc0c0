// Keeps an engine busy with sequences of equal length that decode side by side, for as long as one wants passes timed.
#pragma once

#include <cstdint>

#include "core/lane.h"
#include "core/result.h"
#include "rollout/engine/rollout_engine.h"

namespace jigsaw {

struct DecodeLoadOptions {
  int batch = 1;
  int prompt_tokens = 16;  // of each; none share them
  int new_tokens = 16;     // of each; prompt_tokens + new_tokens <= the engine's max_positions
  int vocab_size = 0;
  SamplingParams sampling;  // how tokens are drawn; what would end a completion early is left out
};

// Takes an idle engine for its lifetime, which outlives it, and leaves it idle. One thread.
class DecodeLoad {
 public:
  DecodeLoad(RolloutEngine& engine, DecodeLoadOptions options);
  ~DecodeLoad();
  DecodeLoad(const DecodeLoad&) = delete;
  DecodeLoad& operator=(const DecodeLoad&) = delete;

  struct Pass {
    bool is_full = false;  // a decode pass over the whole batch, with nothing else in it
    double context = 0;    // then: mean cached tokens that its attention read
    double seconds = 0;
  };
  // One step of the engine; submits the next batch when the last one has ended. kInvalidArgument when the engine has
  // no room for such sequences.
  Result<Pass> step(Lane& lane);
  int rounds() const { return rounds_; }  // batches submitted so far

 private:
  Status submit();

  RolloutEngine& engine_;
  DecodeLoadOptions options_;
  int rounds_ = 0;
  std::int64_t decoded_ = 0;  // tokens drawn in this round, over all sequences
};

}  // namespace jigsaw
