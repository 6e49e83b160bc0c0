// The model as one differentiable LibTorch function: weights -> log-probs of the completion tokens of a pack. Forward
// and backward are TrainingPass's, so a trained token has the bits of a decoded one. Executor thread only.
#pragma once

#include <functional>
#include <span>
#include <vector>

namespace at {
class Tensor;
}

namespace jigsaw {

// Forward and backward of one pack; loans until the backward is over, or until the result is gone where there is none.
struct PackPass {
  std::span<const float> weights;                        // the layout's flat buffer; nothing is read through it
  std::function<std::vector<float>()> forward;           // log-probs, one a completion token
  std::function<void(std::span<const float>)> backward;  // adds the gradient of these to the slot's buffer
};

// logprobs_N, float. The weights are a leaf that ties the result into the graph. Its .grad stays undefined: the
// backward adds into the slot's buffer itself, since a fresh tensor for each pack would cost a copy of the model and
// its order of additions would be autograd's affair.
at::Tensor completion_logprobs(const PackPass& pack);

}  // namespace jigsaw
