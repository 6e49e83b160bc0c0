// What speculation brings in the tail of a rollout: the last few completions of a step, decoded with and without
// drafts, turn and turn about in one process. What `jigsaw bench decode --tail` prints.
//
// A run begins with `batch` completions, one of each prompt (prompts repeat past four), that have `head_tokens` each,
// beside `siblings` more of each prompt that have ended with as many; what the former still lack is timed. Both ways
// give the same tokens, which is checked.
#pragma once

#include <string>
#include <vector>

#include "core/lane.h"
#include "core/result.h"
#include "rollout/models/policy_weights.h"
#include "rollout/tokenizer/tokenizer.h"

namespace jigsaw {

// Kinds of prompts for a base or instruction-tuned model of English and code: "code", "list", "free".
std::vector<std::string> tail_bench_texts();

struct TailBenchOptions {
  int batch = 1;
  std::string text = "code";
  int siblings = 3;      // of each prompt
  int head_tokens = 64;  // of each completion when the tail begins
  int new_tokens = 128;  // further ones, timed
  float temperature = 1;
  int repeats = 5;
};

struct TailBenchResult {
  int threads = 0;
  double plain_s = 0, speculative_s = 0;  // medians of the timed part
  double speedup = 0;                     // median of the pairs' ratios
  std::vector<double> speedup_range;      // smallest and largest of the pairs
  double tokens_per_pass = 0;             // a sequence, with drafts: 1 without
  double drafted_per_pass = 0;
  double accepted_share = 0;  // of the drafted
  double foreign_cores = 0;   // rerun what has more than 0.1
};

Result<TailBenchResult> run_tail_bench(Lane& lane, const PolicyWeights& weights, const Tokenizer& tokenizer,
                                       const TailBenchOptions& options);

}  // namespace jigsaw
