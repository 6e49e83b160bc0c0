// The weights of one policy: a configuration, a layout, and one flat 64-byte aligned fp32 buffer. The rollout engine
// and the trainer of a process share one copy. Only the trainer writes, and only while no rollout of this policy runs.
//
// With WeightFormat::kBf16 the buffer is the master that the optimizer steps, hashes and checkpoints hold, and passes
// read a copy of its matrices that is rounded to bf16: rollout and trainer, forward and backward, all the same one. So
// their log-probs agree to the bit as with fp32, at half the memory traffic. Gradients are those of the rounded
// weights and go to the master as they are. Vectors (norms, biases) are read as fp32 in either format: they are small.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/lane.h"
#include "rollout/kernels/kernels.h"
#include "rollout/models/model_config.h"
#include "rollout/models/parameter_layout.h"

namespace jigsaw {

namespace internal {
// Zeroed memory at a multiple of 64 bytes, of 2 MB where it is large; null for 0 bytes. Pages of large memory are taken
// from the system when they are first touched, so what is not used yet costs no time.
void* allocate_aligned(std::size_t num_values, std::size_t bytes_each);
void free_aligned(void* memory, std::size_t num_values, std::size_t bytes_each);
}  // namespace internal

// Owns 64-byte aligned values, zeroed.
template <typename T>
class AlignedArray {
 public:
  AlignedArray() = default;
  explicit AlignedArray(std::size_t size)
      : data_(static_cast<T*>(internal::allocate_aligned(size, sizeof(T))), Free{size}), size_(size) {}
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  std::span<T> span() { return {data_.get(), size_}; }
  std::span<const T> span() const { return {data_.get(), size_}; }

 private:
  struct Free {
    std::size_t size = 0;
    void operator()(T* pointer) const { internal::free_aligned(pointer, size, sizeof(T)); }
  };
  std::unique_ptr<T[], Free> data_;
  std::size_t size_ = 0;
};
using AlignedFloats = AlignedArray<float>;

// What passes read matrices as.
enum class WeightFormat { kFp32, kBf16 };
std::string_view to_string(WeightFormat format);  // "fp32", "bf16"
std::optional<WeightFormat> parse_weight_format(std::string_view name);

class PolicyWeights {
 public:
  explicit PolicyWeights(ModelConfig config);  // all zero, kFp32

  const ModelConfig& config() const { return config_; }
  const ParameterLayout& layout() const { return layout_; }
  std::span<const float> floats() const { return buffer_.span(); }
  const float* parameter(int index) const { return buffer_.data() + layout_.parameter(index).offset; }

  // To write through. With kBf16, round() must follow before the next pass.
  std::span<float> mutable_floats();
  float* mutable_parameter(int index) { return mutable_floats().data() + layout_.parameter(index).offset; }

  WeightFormat format() const { return rounded_.size() > 0 ? WeightFormat::kBf16 : WeightFormat::kFp32; }
  // Takes or frees the rounded copy, and rounds.
  void set_format(WeightFormat format, Lane& lane);
  // Makes the rounded copy that of the current floats. Nothing to do with kFp32.
  void round(Lane& lane);
  // A matrix as passes read it.
  kernels::WeightPanels matrix(int index) const;
  // Of everything: the floats and, with kBf16, the copy.
  std::size_t num_bytes() const { return buffer_.span().size_bytes() + rounded_.span().size_bytes(); }
  static std::size_t num_bytes(const ParameterLayout& layout, WeightFormat format);

  // xxh3-128 of all parameters in layout order, as 32 hex digits: the `weights_hash` of metrics and summaries.
  std::string hash() const;

 private:
  ModelConfig config_;
  ParameterLayout layout_;
  AlignedFloats buffer_;
  AlignedArray<std::uint32_t> rounded_;       // kBf16: kernels::WeightPanels::bf16 of each matrix
  std::vector<std::size_t> rounded_offsets_;  // kBf16: of each parameter in rounded_
  bool is_rounded_copy_stale_ = false;
};

// Fills the weights for training from scratch: normal(0, 0.02) matrices (output projections scaled by
// 1/sqrt(2 * num_layers)), norms 1, biases 0; drawn by Philox from (seed, parameter, element), so equal everywhere.
void initialize_weights(PolicyWeights& weights, std::uint64_t seed);

}  // namespace jigsaw
