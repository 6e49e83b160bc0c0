// The losses, as LibTorch expressions in double precision on the log-probs of one pack; autograd gives d loss / d lp.
// Executor thread only; run under SingleThreadedTorch. Legend of shapes: N tokens of the pack, T tokens of a
// completion.
//
// With r the algorithm's ratio, A its advantages and e, E, beta its settings, a token's loss is
//     kPessimistic        -min(r A, clip(r, 1-e, 1+E) A)
//     kTruncatedWeight    -stopgrad(min(r, E)) A lp
// plus, where the KL is in the loss, beta x KL (x r with use_bias_correction_kl), KL one of
//     k1 = lp - ref       k2 = (lp - ref)^2 / 2       k3 = exp(ref - lp) - (ref - lp) - 1
//
// importance_cap > 0, for samples of an older policy: decoupled PPO (AReaL, arXiv 2505.24298, eq. 5) with truncated
// importance sampling (IMPALA, arXiv 1802.01561). The proximal policy, against which r is taken and clipped, is then
// the current one, and `old` (the policy that sampled) enters as the constant weight min(cap, exp(lp - old)), at the
// algorithm's ratio level, on the policy term. Keeping r against `old` as well would count the correction twice.
#pragma once

#include <cstdint>
#include <span>

#include "workers/trainer/algorithm_config.h"

namespace at {
class Tensor;
}

namespace jigsaw {

// One completion of a pack; loans.
struct LossSample {
  std::span<const double> advantages;   // T of them, which is T
  std::span<const float> old_logprobs;  // T or none: old = lp without gradient
  std::span<const float> ref_logprobs;  // T or none; there when beta > 0 and the KL is in the loss
};

// Of the whole batch, not of the pack: losses of packs and slots add up to the batch's.
struct LossDenominators {
  std::int64_t num_samples = 0;  // B
  std::int64_t num_tokens = 0;   // N
};

// Sums over the tokens of a pack, for metrics.
struct LossCounts {
  double kl_sum = 0;          // k3 to the reference, where there is one
  double clipped_tokens = 0;  // tokens whose gradient the clip took or bounded
};

// The pack's share of the batch loss, a scalar. `logprobs_N`: completions one after the other, none of them empty, in
// double. `config` is valid.
at::Tensor policy_loss(const AlgorithmConfig& config, const LossDenominators& denominators,
                       const at::Tensor& logprobs_N, std::span<const LossSample> samples, LossCounts& counts);

}  // namespace jigsaw
