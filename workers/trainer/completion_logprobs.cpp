#include "workers/trainer/completion_logprobs.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <utility>

namespace jigsaw {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A PackPass as something that autograd can keep.
struct PackHolder : torch::CustomClassHolder {
  explicit PackHolder(PackPass the_pack) : pack(std::move(the_pack)) {}
  PackPass pack;
};

struct CompletionLogProbs : torch::autograd::Function<CompletionLogProbs> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& /*weights_F*/,
                            const c10::intrusive_ptr<PackHolder>& holder) {
    const std::vector<float> logprobs = holder->pack.forward();
    context->saved_data["pack"] = c10::IValue::make_capsule(holder);
    at::Tensor logprobs_N = at::empty({static_cast<std::int64_t>(logprobs.size())}, at::kFloat);
    std::ranges::copy(logprobs, logprobs_N.mutable_data_ptr<float>());
    return logprobs_N;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto holder = c10::static_intrusive_pointer_cast<PackHolder>(context->saved_data["pack"].toCapsule());
    const at::Tensor dlogp_N = gradients[0].contiguous();
    holder->pack.backward({dlogp_N.const_data_ptr<float>(), static_cast<std::size_t>(dlogp_N.numel())});
    return {at::Tensor(), at::Tensor()};  // see the header
  }
};

}  // namespace

at::Tensor completion_logprobs(const PackPass& pack) {
  at::Tensor weights_F = at::from_blob(const_cast<float*>(pack.weights.data()),
                                       {static_cast<std::int64_t>(pack.weights.size())}, at::kFloat);
  weights_F.set_requires_grad(true);
  return CompletionLogProbs::apply(weights_F, c10::make_intrusive<PackHolder>(pack));
}

}  // namespace jigsaw
