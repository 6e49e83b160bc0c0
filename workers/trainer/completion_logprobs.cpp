#include "workers/trainer/completion_logprobs.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <utility>

#include "core/check.h"

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
    PackPass& pack = holder->pack;
    const std::vector<float> logprobs = pack.pass->forward(*pack.lane, pack.sequences, pack.entropies);
    context->saved_data["pack"] = c10::IValue::make_capsule(holder);
    at::Tensor logprobs_N = at::empty({static_cast<std::int64_t>(logprobs.size())}, at::kFloat);
    std::ranges::copy(logprobs, logprobs_N.mutable_data_ptr<float>());
    return logprobs_N;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto holder = c10::static_intrusive_pointer_cast<PackHolder>(context->saved_data["pack"].toCapsule());
    const PackPass& pack = holder->pack;
    const at::Tensor dlogp_N = gradients[0].contiguous();
    CHECK(dlogp_N.scalar_type() == at::kFloat);
    const std::span dlogp(dlogp_N.const_data_ptr<float>(), static_cast<std::size_t>(dlogp_N.numel()));
    pack.pass->backward(*pack.lane, dlogp, pack.gradients);
    return {at::Tensor(), at::Tensor()};  // see the header
  }
};

}  // namespace

at::Tensor completion_logprobs(const at::Tensor& weights_F, PackPass pack) {
  return CompletionLogProbs::apply(weights_F, c10::make_intrusive<PackHolder>(std::move(pack)));
}

}  // namespace jigsaw
