#include "workers/trainer/micro_batches.h"

namespace jigsaw {

std::vector<MicroBatch> pack_micro_batches(std::span<const TrainingSample> samples, int tokens_max) {
  std::vector<MicroBatch> packs;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (samples[i].completion_length() == 0) continue;
    const int num_tokens = static_cast<int>(samples[i].tokens.size());
    if (packs.empty() || num_tokens > tokens_max - packs.back().num_tokens) packs.emplace_back();
    packs.back().samples.push_back(i);
    packs.back().num_tokens += num_tokens;
  }
  return packs;
}

}  // namespace jigsaw
