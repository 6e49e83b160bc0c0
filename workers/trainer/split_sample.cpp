#include "workers/trainer/split_sample.h"

#include <utility>

#include "workers/trainer/pack_loss.h"

namespace jigsaw {

SplitSample::SplitSample(const PolicyWeights& weights, const AlgorithmConfig& algorithm, SplitBatch batch,
                         bool recompute_activations)
    : weights_(weights),
      algorithm_(algorithm),
      batch_(std::move(batch)),
      pass_(weights, {batch_.sample.tokens, batch_.sample.prompt_length, batch_.sample.given}, batch_.chunk_begins,
            batch_.pairs, recompute_activations) {}

Status SplitSample::run_quantum(Lane& lane) {
  if (pass_.awaits_backward()) return compute_loss();
  pass_.run_step(lane);
  return ok_status();
}

Status SplitSample::compute_loss() {
  const LossSample sample{batch_.advantages, batch_.sample.old_logprobs, batch_.sample.ref_logprobs};
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<float> dlogp,
                          add_pack_loss(batch_.name, algorithm_, {batch_.num_samples_total, batch_.num_tokens_total},
                                        pass_.logprobs(), pass_.entropies(), {&sample, 1}, result_));
  for (std::size_t i = 0; i < batch_.pairs.size(); ++i) gradients_.emplace_back(weights_.layout().num_floats());
  std::vector<std::span<float>> gradients;
  for (AlignedFloats& gradient : gradients_) gradients.push_back(gradient.span());
  pass_.begin_backward(dlogp, std::move(gradients));
  return ok_status();
}

}  // namespace jigsaw
