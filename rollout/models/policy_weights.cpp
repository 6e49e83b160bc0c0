#include "rollout/models/policy_weights.h"

#include <sys/mman.h>
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <numbers>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/philox.h"

namespace jigsaw {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
// malloc() would map such blocks itself, and not say that they are zero already.
constexpr std::size_t kMappedBytesMin = std::size_t{32} << 20;

// Natural logarithm and sine by series in plain IEEE arithmetic, good to 1e-15: those of the C library differ in their
// last bit from machine to machine, and a policy from scratch is to start equal everywhere.
double log_series(double x) {
  int exponent = 0;
  double mantissa = std::frexp(x, &exponent);  // in [0.5, 1)
  if (mantissa < 0.70710678118654752) mantissa *= 2.0, --exponent;
  const double s = (mantissa - 1.0) / (mantissa + 1.0), square = s * s;
  double sum = 0.0;
  for (int n = 21; n >= 1; n -= 2) sum = sum * square + 1.0 / n;
  return exponent * std::numbers::ln2 + 2.0 * s * sum;
}

// sin(2 pi v) for v in [0, 1.25).
double sin_turns(double v) {
  if (v >= 1.0) v -= 1.0;
  const double sign = v < 0.5 ? 1.0 : -1.0;
  if (v >= 0.5) v -= 0.5;
  if (v > 0.25) v = 0.5 - v;  // sin(pi - a) = sin(a)
  const double angle = 2.0 * std::numbers::pi * v, square = angle * angle;
  double sum = 0.0;
  for (int n = 23; n >= 1; n -= 2) sum = 1.0 - sum * square / ((n + 1.0) * (n + 2.0));
  return sign * angle * sum;
}

// Elements 2 * pair and 2 * pair + 1 of a stream of normal(0, 1) values: Box-Muller on one Philox block.
std::pair<double, double> normal_pair(std::uint64_t key, std::uint64_t stream, std::uint64_t pair) {
  const PhiloxBlock x = philox(key, stream, pair);
  // 53-bit uniforms, the first one in (0, 1] so that its logarithm is finite.
  const double u = static_cast<double>(((std::uint64_t{x[0]} << 32 | x[1]) >> 11) + 1) * 0x1.0p-53;
  const double v = static_cast<double>((std::uint64_t{x[2]} << 32 | x[3]) >> 11) * 0x1.0p-53;
  const double radius = std::sqrt(-2.0 * log_series(u));
  return {radius * sin_turns(v + 0.25), radius * sin_turns(v)};
}

// Fills a matrix with scale * normal(0, 1), element (n, k) being element n * cols + k of the stream.
void fill_normal(const Parameter& parameter, std::uint64_t key, std::uint64_t stream, double scale, float* panels) {
  const auto cols = static_cast<std::size_t>(parameter.cols);
  std::vector<float> row_major;
  for (int row = 0; row < parameter.rows; row += kPanelWidth) {  // 16 rows at a time, so that they begin with a pair
    const int num_rows = std::min(kPanelWidth, parameter.rows - row);
    row_major.resize(static_cast<std::size_t>(num_rows) * cols);
    const std::uint64_t pair_begin = static_cast<std::uint64_t>(row) * cols / 2;
    for (std::size_t i = 0; i < row_major.size(); i += 2) {
      const auto [first, second] = normal_pair(key, stream, pair_begin + i / 2);
      row_major[i] = static_cast<float>(scale * first);
      if (i + 1 < row_major.size()) row_major[i + 1] = static_cast<float>(scale * second);
    }
    pack_rows(parameter, {"", row, num_rows}, row_major, panels);
  }
}

std::size_t round_up(std::size_t num_bytes, std::size_t unit) { return (num_bytes + unit - 1) / unit * unit; }

// Large buffers stand on huge pages where the kernel has them: weights are streamed through at every token. A wish: its
// failure changes nothing.
void wish_for_huge_pages(void* memory, std::size_t num_bytes) { ::madvise(memory, num_bytes, MADV_HUGEPAGE); }

// Zeroed by the system, at a multiple of a huge page.
void* map_zeroed(std::size_t num_bytes) {
  const std::size_t num_mapped = num_bytes + kHugePage;
  void* const mapped = ::mmap(nullptr, num_mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  const std::size_t before =
      round_up(reinterpret_cast<std::uintptr_t>(mapped), kHugePage) - reinterpret_cast<std::uintptr_t>(mapped);
  char* const memory = static_cast<char*>(mapped) + before;
  if (before > 0) ::munmap(mapped, before);
  if (before < kHugePage) ::munmap(memory + num_bytes, kHugePage - before);
  wish_for_huge_pages(memory, num_bytes);
  return memory;
}

}  // namespace

void* internal::allocate_aligned(std::size_t num_values, std::size_t bytes_each) {
  if (num_values == 0) return nullptr;
  if (num_values > std::numeric_limits<std::size_t>::max() / 2 / bytes_each) throw std::bad_alloc();
  const std::size_t num_bytes = num_values * bytes_each;
  if (num_bytes >= kMappedBytesMin) return map_zeroed(round_up(num_bytes, kHugePage));
  const std::size_t alignment = num_bytes >= 2 * kHugePage ? kHugePage : kCacheLine;
  const std::size_t rounded = round_up(num_bytes, alignment);
  void* memory = std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) throw std::bad_alloc();
  if (alignment == kHugePage) wish_for_huge_pages(memory, rounded);
  std::memset(memory, 0, num_bytes);
  return memory;
}

void internal::free_aligned(void* memory, std::size_t num_values, std::size_t bytes_each) {
  const std::size_t num_bytes = num_values * bytes_each;
  if (num_bytes >= kMappedBytesMin) {
    ::munmap(memory, round_up(num_bytes, kHugePage));
  } else {
    std::free(memory);
  }
}

std::string_view to_string(WeightFormat format) { return format == WeightFormat::kBf16 ? "bf16" : "fp32"; }

std::optional<WeightFormat> parse_weight_format(std::string_view name) {
  for (const WeightFormat format : {WeightFormat::kFp32, WeightFormat::kBf16}) {
    if (name == to_string(format)) return format;
  }
  return std::nullopt;
}

PolicyWeights::PolicyWeights(ModelConfig config)
    : config_(std::move(config)), layout_(config_), buffer_(layout_.num_floats()) {}

std::span<float> PolicyWeights::mutable_floats() {
  is_rounded_copy_stale_ = format() == WeightFormat::kBf16;
  return buffer_.span();
}

void PolicyWeights::set_format(WeightFormat format, Lane& lane) {
  if (format == this->format()) return;
  rounded_ = {};
  rounded_offsets_.clear();
  is_rounded_copy_stale_ = false;
  if (format == WeightFormat::kFp32) return;
  std::size_t num_words = 0;
  for (const Parameter& parameter : layout_.parameters()) {
    rounded_offsets_.push_back(num_words);
    if (parameter.is_matrix()) num_words += kernels::bf16_words(parameter.cols, parameter.rows);
  }
  rounded_ = AlignedArray<std::uint32_t>(num_words);
  round(lane);
}

void PolicyWeights::round(Lane& lane) {
  if (format() == WeightFormat::kFp32) return;
  for (std::size_t i = 0; i < rounded_offsets_.size(); ++i) {
    const Parameter& parameter = layout_.parameters()[i];
    if (!parameter.is_matrix()) continue;
    kernels::round_to_bf16(lane, parameter.cols, parameter.rows, buffer_.data() + parameter.offset,
                           rounded_.data() + rounded_offsets_[i]);
  }
  is_rounded_copy_stale_ = false;
}

kernels::WeightPanels PolicyWeights::matrix(int index) const {
  if (format() == WeightFormat::kFp32) return parameter(index);
  CHECK_MSG(!is_rounded_copy_stale_, "weights were written and not rounded");
  return kernels::WeightPanels(rounded_.data() + rounded_offsets_[static_cast<std::size_t>(index)]);
}

std::size_t PolicyWeights::num_bytes(const ParameterLayout& layout, WeightFormat format) {
  std::size_t num_bytes = layout.num_floats() * sizeof(float);
  if (format == WeightFormat::kFp32) return num_bytes;
  for (const Parameter& parameter : layout.parameters()) {
    if (parameter.is_matrix()) num_bytes += kernels::bf16_words(parameter.cols, parameter.rows) * sizeof(std::uint32_t);
  }
  return num_bytes;
}

std::string PolicyWeights::hash() const {
  const XXH128_hash_t hash = XXH3_128bits(buffer_.data(), buffer_.size() * sizeof(float));
  char text[33];
  std::snprintf(text, sizeof(text), "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}

void initialize_weights(PolicyWeights& weights, std::uint64_t seed) {
  const ParameterLayout& layout = weights.layout();
  const double residual_scale = 1.0 / std::sqrt(2.0 * weights.config().num_layers);
  std::vector<bool> writes_residual(layout.parameters().size(), false), is_norm(layout.parameters().size(), false);
  const auto mark = [](std::vector<bool>& set, int index) {
    if (index >= 0) set[static_cast<std::size_t>(index)] = true;
  };
  for (int l = 0; l < weights.config().num_layers; ++l) {
    const LayerParameters& layer = layout.layer(l);
    for (const int index : {layer.attention_out, layer.mlp_down}) mark(writes_residual, index);
    for (const int index : {layer.attention_norm, layer.mlp_norm, layer.q_norm, layer.k_norm}) mark(is_norm, index);
  }
  mark(is_norm, layout.final_norm());

  for (std::size_t index = 0; index < layout.parameters().size(); ++index) {
    const Parameter& parameter = layout.parameters()[index];
    float* values = weights.mutable_parameter(static_cast<int>(index));
    if (parameter.is_matrix()) {
      fill_normal(parameter, seed, index, writes_residual[index] ? 0.02 * residual_scale : 0.02, values);
    } else {
      std::fill_n(values, parameter.rows, is_norm[index] ? 1.0f : 0.0f);
    }
  }
}

}  // namespace jigsaw
