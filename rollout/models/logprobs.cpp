#include "rollout/models/logprobs.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "rollout/kernels/kernels.h"

namespace jigsaw {
namespace {

// Rows of a chunk: enough for the products to run well, while the chunk's logits stay below 16 MB or so.
int chunk_rows(int vocab_size) { return std::clamp((1 << 22) / vocab_size, 16, 256); }

Status check_tokens(const Transformer& transformer, std::span<const std::int32_t> tokens) {
  if (tokens.empty()) return Error(ErrorCode::kInvalidArgument, "a sequence needs at least one token");
  if (tokens.size() > static_cast<std::size_t>(transformer.max_positions())) {
    return Error(ErrorCode::kInvalidArgument, "the sequence has " + std::to_string(tokens.size()) +
                                                  " tokens, the model is set up for at most " +
                                                  std::to_string(transformer.max_positions()));
  }
  const int vocab_size = transformer.config().vocab_size;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && tokens[i] < vocab_size) continue;
    return Error(ErrorCode::kInvalidArgument, "token " + std::to_string(tokens[i]) + " at index " + std::to_string(i) +
                                                  " is not in the vocabulary (ids 0 to " +
                                                  std::to_string(vocab_size - 1) + ")");
  }
  return ok_status();
}

}  // namespace

Result<std::vector<float>> sequence_logprobs(Transformer& transformer, Lane& lane,
                                             std::span<const std::int32_t> tokens) {
  JIGSAW_RETURN_IF_ERROR(check_tokens(transformer, tokens));
  const int num_rows = static_cast<int>(tokens.size()) - 1;  // nothing is asked of the last token's logits
  const int vocab_size = transformer.config().vocab_size;

  const int num_blocks = (num_rows + kernels::kPanel - 1) / kernels::kPanel;
  AlignedFloats kv(static_cast<std::size_t>(num_blocks) * transformer.kv_block_floats());
  std::vector<float*> blocks;
  for (int i = 0; i < num_blocks; ++i) {
    blocks.push_back(kv.data() + static_cast<std::size_t>(i) * transformer.kv_block_floats());
  }

  std::vector<float> logprobs;
  logprobs.reserve(static_cast<std::size_t>(num_rows));
  for (int begin = 0; begin < num_rows;) {
    const int count = std::min(chunk_rows(vocab_size), num_rows - begin);
    const SequenceRows rows{.num_rows = count, .position_begin = begin, .blocks = blocks};
    std::vector<std::int32_t> all_rows(static_cast<std::size_t>(count));
    std::iota(all_rows.begin(), all_rows.end(), 0);
    const std::span<const float> logits = transformer.forward(
        lane, {.tokens = tokens.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count)),
               .sequences = {&rows, 1},
               .logit_rows = all_rows});
    std::vector<kernels::LogSoftmaxStats> stats(static_cast<std::size_t>(count));
    kernels::log_softmax_stats(lane, count, vocab_size, logits.data(), vocab_size, stats.data());
    for (int i = 0; i < count; ++i) {
      const auto target = static_cast<std::size_t>(tokens[static_cast<std::size_t>(begin + i + 1)]);
      const float logit = logits[static_cast<std::size_t>(i) * static_cast<std::size_t>(vocab_size) + target];
      logprobs.push_back(kernels::log_prob_of(logit, stats[static_cast<std::size_t>(i)]));
    }
    begin += count;
  }
  return logprobs;
}

}  // namespace jigsaw
