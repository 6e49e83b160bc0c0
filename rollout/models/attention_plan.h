// Which rows of a forward pass belong to which sequence, where they stand, and in which KV blocks their keys and values
// are. One plan serves all layers of a pass. Its vectors are reused from pass to pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/lane.h"
#include "rollout/kernels/kernels.h"
#include "rollout/models/model_config.h"
#include "rollout/models/scratch_floats.h"

namespace jigsaw {

kernels::AttentionShape attention_shape(const ModelConfig& config);

class AttentionPlan {
 public:
  void clear();
  // The next `num_rows` rows of the pass are positions position_begin .. of one sequence, whose KV blocks, position 0
  // on, are `blocks` (copied). Two sequences may share blocks that neither writes.
  // With a `parent`, the number of an earlier call: the rows of that one before position_begin are its past as well,
  // those of the parent's parent likewise; they are written to `blocks` too, which must not be those of the parent
  // there.
  void add_sequence(int num_rows, int position_begin, std::span<float* const> blocks, int parent = -1);

  int num_rows() const { return static_cast<int>(positions_.size()); }
  std::span<const std::int32_t> positions() const { return positions_; }

  // Of one layer, which stands at `layer_offset` floats in every block: writes the rows' keys and values, then attends.
  // Row r of `qkv` is [q; k; v]; `out` is [rows][q_size].
  void run(Lane& lane, const ModelConfig& config, std::size_t layer_offset, const float* qkv, float* out);

  // What backward() reads and writes, row by row of the pass: d_qk gets dq and dk where q and k stand in qkv, and d_v
  // dv where v does; they may be the same.
  struct Backward {
    const float *qkv = nullptr, *out = nullptr, *d_out = nullptr;
    float *d_qk = nullptr, *d_v = nullptr;
  };
  // Of whole sequences: each begins at position 0, or where its parent, which does, ends.
  void backward(Lane& lane, const ModelConfig& config, const Backward& values);
  // Of rows in the midst of their sequences. One layer's keys and values of all positions before the rows' ends are
  // given as rows [position][k; v], [2 * kv_size] floats each; d_kv[i] gets in the same form what the rows of sequence
  // i have for positions 0 .. its end, and values.d_qk their dq. values.d_v is not used; no sequence has a parent.
  void backward_chunks(Lane& lane, const ModelConfig& config, const Backward& values, const float* kv,
                       std::span<float* const> d_kv);
  // Frees memory that grows with the rows.
  void release_memory() { prefix_sums_.release(); }

 private:
  struct Sequence {
    int num_rows = 0;
    int position_begin = 0;
    std::size_t block_begin = 0;  // of its blocks in blocks_
    int parent = -1;
    int first_row = 0;  // of the pass
  };
  std::vector<Sequence> sequences_;
  std::vector<std::int32_t> positions_;
  std::vector<float*> blocks_;        // bases, sequence after sequence
  std::vector<float*> layer_blocks_;  // the same, at the layer's offset
  std::vector<kernels::KvWrite> writes_;
  std::vector<kernels::AttentionRows> rows_;
  std::vector<kernels::AttentionBackwardRows> backward_rows_;
  ScratchFloats prefix_sums_;
};

}  // namespace jigsaw
