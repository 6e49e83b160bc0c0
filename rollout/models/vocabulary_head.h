// From the last layer's output to log-probs and back: final norm, output matrix, log-softmax; a chunk of rows at a
// time, so that [tokens x vocab] never exists. No state but scratch memory: not for two threads at once.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/lane.h"
#include "rollout/kernels/kernels.h"
#include "rollout/models/policy_weights.h"
#include "rollout/models/scratch_floats.h"
#include "rollout/models/training_pack.h"

namespace jigsaw {

class VocabularyHead {
 public:
  explicit VocabularyHead(const PolicyWeights& weights) : weights_(weights) {}

  // Chunks of the logit rows of a pack: 0 .. num_chunks - 1.
  int num_chunks(const TrainingPack& pack) const;
  // x: [R][H], output of the last layer for the rows of `pack`. Writes one log-prob, statistic and (unless empty)
  // entropy per logit row of the chunk. The last chunk first: what is left in scratch then is the one that the backward
  // begins with.
  void forward_chunk(Lane& lane, const TrainingPack& pack, int index, const float* x,
                     std::span<kernels::LogSoftmaxStats> stats, std::span<float> logprobs, std::span<float> entropies);
  // Needs the x and stats of the forward. Chunk 0 first; each sets the rows of dx [R][H] that have logits of its, and
  // adds to the gradients of output matrix and final norm, rows in order, so that the size of a chunk does not show.
  void backward_chunk(Lane& lane, const TrainingPack& pack, int index, const float* x,
                      std::span<const kernels::LogSoftmaxStats> stats, std::span<const float> dlogp,
                      std::span<float> gradients, float* dx);
  // All chunks. The backward clears the rows of dx that have no logits.
  void forward(Lane& lane, const TrainingPack& pack, const float* x, std::span<kernels::LogSoftmaxStats> stats,
               std::span<float> logprobs, std::span<float> entropies);
  void backward(Lane& lane, const TrainingPack& pack, const float* x, std::span<const kernels::LogSoftmaxStats> stats,
                std::span<const float> dlogp, std::span<float> gradients, float* dx);
  // The logits that scratch holds are not those of the pack that backward() will get.
  void forget_logits() { logits_kept_ = false; }
  void release_memory() {
    forget_logits();
    scratch_.release();
  }

  static std::size_t scratch_floats(const ModelConfig& config, int num_logits);

 private:
  struct Chunk;
  Chunk chunk_at(const TrainingPack& pack, int index);
  void project(Lane& lane, const TrainingPack& pack, const Chunk& chunk, const float* x);

  const PolicyWeights& weights_;
  ScratchFloats scratch_;
  bool logits_kept_ = false;  // scratch holds x, norm and logits of the first chunk of the last forward
};

}  // namespace jigsaw
