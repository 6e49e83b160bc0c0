#include "rollout/kernels/gemm_bench.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>

#include "rollout/kernels/kernels.h"
#include "rollout/kernels/variant_table.h"

namespace jigsaw::kernels {
namespace {

using SteadyClock = std::chrono::steady_clock;

double seconds_since(SteadyClock::time_point begin) {
  return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

// The best time of one call of `run`, from batches that together take about `seconds`.
template <class F>
double best_seconds(double seconds, F&& run) {
  constexpr int kBatches = 10;
  const auto warm_up = SteadyClock::now();
  std::int64_t calls = 0;
  do {
    run();
    ++calls;
  } while (seconds_since(warm_up) < seconds / 10);
  const std::int64_t calls_per_batch = std::max<std::int64_t>(1, calls * 10 / kBatches / 2);
  double best = std::numeric_limits<double>::max();
  for (int batch = 0; batch < kBatches; ++batch) {
    const auto begin = SteadyClock::now();
    for (std::int64_t i = 0; i < calls_per_batch; ++i) run();
    best = std::min(best, seconds_since(begin) / static_cast<double>(calls_per_batch));
  }
  return best;
}

// Every thread of the lane runs `work` once.
template <class F>
void on_every_thread(Lane& lane, F&& work) {
  lane.parallel_for(lane.num_threads(), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) work(i);
  });
}

double fma_peak_gflops(Lane& lane, double seconds) {
  const KernelTable& kernels = kernel_table();
  constexpr std::int64_t kSteps = 100000;
  std::atomic<float> sink{0};
  const double best = best_seconds(seconds, [&] {
    on_every_thread(lane, [&](std::int64_t) { sink.store(kernels.fma_steps(kSteps), std::memory_order_relaxed); });
  });
  return 2.0 * kPanel * kernels.fmas_per_step * static_cast<double>(kSteps) * lane.num_threads() / best * 1e-9;
}

double read_bytes_per_s(Lane& lane, double seconds) {
  constexpr std::size_t kFloats = std::size_t{64} << 20;  // 256 MB in all: well past the caches
  const std::size_t part = kFloats / static_cast<std::size_t>(lane.num_threads()) / 64 * 64;
  const std::vector<float> buffer(part * static_cast<std::size_t>(lane.num_threads()), 1.0f);
  std::atomic<float> sink{0};
  const double best = best_seconds(seconds, [&] {
    on_every_thread(lane, [&](std::int64_t i) {
      sink.store(kernel_table().read_all(part, buffer.data() + static_cast<std::size_t>(i) * part),
                 std::memory_order_relaxed);
    });
  });
  return static_cast<double>(buffer.size() * sizeof(float)) / best;
}

std::size_t weight_words(const GemmShape& shape, bool is_bf16) {
  return bf16_words(is_bf16 ? shape.k : 2 * shape.k, shape.n);
}

// Of run(x, words of W, y), which gets another copy of W each time.
template <class F>
double product_seconds(const GemmShape& shape, std::size_t words, const GemmBenchOptions& options, F&& run) {
  const auto k = static_cast<std::size_t>(shape.k);
  const auto n = static_cast<std::size_t>(shape.n);
  const auto m = static_cast<std::size_t>(shape.m);
  const std::size_t copies = std::max<std::size_t>(1, options.weight_bytes_min / (words * sizeof(float)));
  const std::vector<float> weights(words * copies, 0.01f);  // read as bf16, too, these bits are small numbers
  const std::vector<float> x(m * k, 0.5f);
  std::vector<float> y(m * n);
  std::size_t copy = 0;
  return best_seconds(options.seconds_each, [&] {
    run(x.data(), weights.data() + words * copy, y.data());
    copy = (copy + 1) % copies;
  });
}

double our_seconds(Lane& lane, const GemmShape& shape, const GemmBenchOptions& options) {
  const std::size_t words = weight_words(shape, options.bf16_weights);
  return product_seconds(shape, words, options, [&](const float* x, const float* w, float* y) {
    const WeightPanels panels =
        options.bf16_weights ? WeightPanels(reinterpret_cast<const std::uint32_t*>(w)) : WeightPanels(w);
    linear(lane, shape.m, shape.k, shape.n, x, shape.k, panels, nullptr, y, shape.n);
  });
}

double gflops(const GemmShape& shape, double seconds) { return 2e-9 * shape.m * shape.k * shape.n / seconds; }

}  // namespace

GemmBench bench_gemm(Lane& lane, std::span<const GemmShape> shapes, std::span<const PeerProduct> peers,
                     const GemmBenchOptions& options) {
  GemmBench bench;
  bench.variant = variant_name();
  bench.num_threads = lane.num_threads();
  bench.fma_peak_gflops = fma_peak_gflops(lane, options.seconds_each);
  bench.read_bytes_per_s = read_bytes_per_s(lane, options.seconds_each);
  for (const GemmShape& shape : shapes) {
    GemmTiming timing;
    timing.shape = shape;
    timing.seconds = our_seconds(lane, shape, options);
    timing.gflops = gflops(shape, timing.seconds);
    timing.share_of_fma_peak = timing.gflops / bench.fma_peak_gflops;
    timing.weight_bytes_per_s =
        static_cast<double>(sizeof(float) * weight_words(shape, options.bf16_weights)) / timing.seconds;
    bench.timings.push_back(timing);
  }
  // After all of ours, one after the other: their threads may spin for a while once they are done.
  for (const PeerProduct& peer : peers) {
    for (GemmTiming& timing : bench.timings) {
      const double seconds = product_seconds(
          timing.shape, static_cast<std::size_t>(timing.shape.k) * static_cast<std::size_t>(timing.shape.n), options,
          [&](const float* x, const float* w, float* y) { peer.run(timing.shape, x, w, y); });
      timing.peer_gflops.push_back(gflops(timing.shape, seconds));
    }
  }
  return bench;
}

}  // namespace jigsaw::kernels
