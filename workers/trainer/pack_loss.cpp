#include "workers/trainer/pack_loss.h"

#include <cmath>
#include <utility>

namespace jigsaw {

Result<std::vector<float>> add_pack_loss(const std::string& name, const AlgorithmConfig& algorithm,
                                         const LossDenominators& denominators, std::span<const float> logprobs,
                                         std::span<const float> entropies, std::span<const LossSample> samples,
                                         SlotResult& result) {
  JIGSAW_ASSIGN_OR_RETURN(const TorchFunctions* const torch, torch_functions());
  Result<PackLoss> pack_loss = torch->differentiate(algorithm, denominators, logprobs, samples);
  if (!pack_loss.ok()) return pack_loss.error().with_context(name);
  auto& [loss, counts, dlogp] = *pack_loss;
  if (!std::isfinite(loss)) {
    return Error(ErrorCode::kInvalidArgument,
                 name + ": the loss is " + std::to_string(loss) +
                     "; a log-prob of these samples is far from old_logprobs or ref_logprobs, or the weights have "
                     "diverged: lower lr, or sample with the current policy");
  }
  result.loss += loss;
  for (const float entropy : entropies) result.entropy_sum += entropy;
  result.kl_sum += counts.kl_sum;
  result.clipped_tokens += counts.clipped_tokens;
  result.num_tokens += static_cast<std::int64_t>(entropies.size());
  return std::move(dlogp);
}

}  // namespace jigsaw
