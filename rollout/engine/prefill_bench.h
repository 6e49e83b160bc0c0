// How fast prompts are taken in, and what a group of completions on one prompt waits for its first tokens: what
// `jigsaw bench prefill` prints.
#pragma once

#include "core/lane.h"
#include "core/result.h"
#include "rollout/models/policy_weights.h"

namespace jigsaw {

struct PrefillBenchOptions {
  int prompt_tokens = 512;
  int group = 8;    // completions of one prompt
  int repeats = 5;  // each with a prompt of its own; medians are reported
};

struct PrefillBenchResult {
  // Seconds from submit() to the first token of a sequence by itself, and to that of the last one of a group.
  double first_token_s = 0, group_first_tokens_s = 0;
  // Of the products and the attention of one prompt, and of multiply-adds in registers on all threads.
  double gflops = 0, fma_peak_gflops = 0;
  double foreign_cores = 0;
};

// Multiplications and additions of a prompt's pass: all positions' products with the layers' matrices and with the keys
// and values before them (half of a square), and one row of logits.
double prefill_flops(const ModelConfig& config, int prompt_tokens);

// kInvalidArgument when an option is below 1, or the prompt too long.
Result<PrefillBenchResult> run_prefill_bench(Lane& lane, const PolicyWeights& weights,
                                             const PrefillBenchOptions& options);

}  // namespace jigsaw
