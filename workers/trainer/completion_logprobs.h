// The model as one differentiable LibTorch function: weights -> log-probs of the completion tokens of a pack. Forward
// and backward are TrainingPass's, so a trained token has the bits of a decoded one. Executor thread only.
#pragma once

#include <span>
#include <vector>

#include "core/lane.h"
#include "rollout/models/training_pass.h"

namespace at {
class Tensor;
}

namespace jigsaw {

// Where a pack's forward and backward compute. Pointers and spans are loans until the backward is over, or until the
// result is gone where there is none.
struct PackPass {
  TrainingPass* pass = nullptr;
  Lane* lane = nullptr;
  std::vector<ScoredSequence> sequences;
  std::span<float> entropies;  // one a completion token
  std::span<float> gradients;  // the layout's flat buffer, which the backward adds to
};

// logprobs_N, float. `weights_F` is the flat buffer as a leaf that requires a gradient: it ties the result into the
// graph. Its .grad stays undefined: the backward adds into `gradients` itself, since a fresh tensor for each pack would
// cost a copy of the model and its order of additions would be autograd's affair.
at::Tensor completion_logprobs(const at::Tensor& weights_F, PackPass pack);

}  // namespace jigsaw
