// One rollout in the engine: its request, what it has generated, and the KV blocks it holds. Owned by the batcher.
//
//   submit -> waiting -> prefilling -> decoding -> finished (or cancelled at any moment)
//                ^            |            |
//                +------------+------------+  preempted: gives its blocks back, keeps its tokens
//                ^                         |
//                +-------- paused <--------+  waits for tokens from outside; keeps its blocks while nobody needs them
//
// Only `is_paused` is stored: the rest follows from `tokens`, `kv_length` and whose queue the sequence is in.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "rollout/engine/kv_block_pool.h"
#include "rollout/engine/rollout_engine.h"
#include "rollout/engine/stop_matcher.h"

namespace jigsaw {

struct Sequence {
  std::uint64_t id = 0;
  std::uint64_t arrival = 0;  // counts submissions: the smaller, the older
  std::uint64_t random_key = 0;
  std::uint64_t prefix_group = 0;
  SamplingParams sampling;
  StopMatcher stop, pause;
  std::vector<TokenId> tokens;  // prompt + completion
  std::vector<float> logprobs;  // one a completion token
  std::vector<TokenRun> given;  // of the completion, one a pause that is over
  bool is_paused = false;
  int num_prompt = 0;
  int kv_length = 0;      // positions whose keys and values stand in the blocks
  int computed_once = 0;  // positions computed before, here or where the sequence came from
  KvBlockLease lease;
  bool speculation = true;       // as its request says
  bool computes_prefix = false;  // its group waits for it to prefill the prompt
  FinishReason finish_reason = FinishReason::kNone;

  int num_tokens() const { return static_cast<int>(tokens.size()); }
  int num_completion() const { return num_tokens() - num_prompt; }
  // Rows to run before the next token can be drawn: 1 in decoding.
  int num_pending() const { return num_tokens() - kv_length; }
  bool is_decoding() const { return num_pending() == 1 && num_completion() > 0; }
  std::span<const TokenId> prompt() const { return {tokens.data(), static_cast<std::size_t>(num_prompt)}; }

  RolloutOutput take_output() {
    return {.id = id,
            .tokens = {tokens.begin() + num_prompt, tokens.end()},
            .logprobs = std::move(logprobs),
            .finish_reason = finish_reason,
            .given = std::move(given)};
  }
};

}  // namespace jigsaw
