// Generation as one would write it first: one sequence, one token a pass, no batch, no shared or paged anything. What
// the engine is compared with, bit for bit.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rollout/engine/forward_pass.h"
#include "rollout/engine/rollout_engine.h"
#include "rollout/engine/sampler.h"
#include "rollout/kernels/kernels.h"
#include "tests/support/fake_forward_pass.h"

namespace jigsaw::testing {

// Logits after `tokens`, which grow by what was drawn from one call to the next.
using NextLogits = std::function<std::vector<float>(std::span<const TokenId> tokens)>;

inline NextLogits fake_logits(int vocab_size, std::size_t memory = 0) {
  return [=](std::span<const TokenId> tokens) { return FakeForwardPass::logits_after(tokens, vocab_size, memory); };
}

// A transformer of its own that runs each token in a pass of its own.
inline NextLogits transformer_logits(const PolicyWeights& weights, int max_positions) {
  struct State {
    State(const PolicyWeights& weights, int max_positions) : transformer(weights, max_positions) {}
    Lane lane{1};
    Transformer transformer;
    std::vector<std::unique_ptr<AlignedFloats>> memory;
    std::vector<float*> blocks;
    int num_done = 0;
  };
  auto state = std::make_shared<State>(weights, max_positions);
  return [state](std::span<const TokenId> tokens) {
    std::span<const float> logits;
    for (; state->num_done < static_cast<int>(tokens.size()); ++state->num_done) {
      if (state->num_done % 16 == 0) {
        state->memory.push_back(std::make_unique<AlignedFloats>(state->transformer.kv_block_floats()));
        state->blocks.push_back(state->memory.back()->data());
      }
      const SequenceRows rows{.num_rows = 1, .position_begin = state->num_done, .blocks = state->blocks};
      const std::int32_t row = 0;
      logits = state->transformer.forward(state->lane,
                                          {.tokens = tokens.subspan(static_cast<std::size_t>(state->num_done), 1),
                                           .sequences = {&rows, 1},
                                           .logit_rows = {&row, 1}});
    }
    return std::vector<float>(logits.begin(), logits.end());
  };
}

// What follows a pause: tokens by the completion so far.
using Answer = std::function<std::vector<TokenId>(std::span<const TokenId> completion)>;

struct NaiveModel {
  NextLogits next_logits;
  std::vector<TokenId> eos_tokens{};
  const Tokenizer* tokenizer = nullptr;
  int max_positions = 2048;
  Answer answer{};
};

// From the prompt alone: what was generated elsewhere must come out again.
inline RolloutOutput generate_naively(const NaiveModel& model, const RolloutRequest& request) {
  const SamplingParams& params = request.sampling;
  const auto is_in = [](const std::vector<TokenId>& set, TokenId token) {
    return std::find(set.begin(), set.end(), token) != set.end();
  };
  Lane lane(1);
  std::vector<TokenId> tokens = request.prompt;
  std::string text;  // since the last pause
  RolloutOutput output{.id = request.id};
  const auto is_full = [&] {
    return static_cast<int>(output.tokens.size()) == params.max_new_tokens ||
           static_cast<int>(tokens.size()) == model.max_positions;
  };
  while (output.finish_reason == FinishReason::kNone) {
    const std::vector<float> logits = model.next_logits(tokens);
    kernels::LogSoftmaxStats stats;
    kernels::log_softmax_stats(lane, 1, static_cast<int>(logits.size()), logits.data(),
                               static_cast<std::ptrdiff_t>(logits.size()), &stats);
    const TokenId token = sample_token(logits, stats.max, params, request.random_key, output.tokens.size());
    tokens.push_back(token);
    output.tokens.push_back(token);
    output.logprobs.push_back(kernels::log_prob_of(logits[static_cast<std::size_t>(token)], stats));
    if (model.tokenizer != nullptr) text += model.tokenizer->token_bytes(token);
    const bool has_stop_string = std::ranges::any_of(
        params.stop_strings, [&](const std::string& stop) { return text.find(stop) != std::string::npos; });
    if ((!params.ignore_eos && is_in(model.eos_tokens, token)) || is_in(params.stop_tokens, token) || has_stop_string) {
      output.finish_reason = FinishReason::kStop;
    } else if (is_full()) {
      output.finish_reason = FinishReason::kLength;
    } else if (!params.pause_string.empty() && text.find(params.pause_string) != std::string::npos) {
      if (static_cast<int>(output.given.size()) == params.pauses_max) {
        output.finish_reason = FinishReason::kStop;
        break;
      }
      text.clear();
      output.given.push_back({static_cast<int>(output.tokens.size()), static_cast<int>(output.tokens.size())});
      for (const TokenId given : model.answer(output.tokens)) {
        if (is_full()) break;
        tokens.push_back(given);
        output.tokens.push_back(given);
        output.logprobs.push_back(0);
        ++output.given.back().end;
      }
      if (is_full()) output.finish_reason = FinishReason::kLength;
    }
  }
  return output;
}

}  // namespace jigsaw::testing
