// Row operations against double precision; exp and log over their range.
#include <algorithm>
#include <limits>

#include "tests/rollout/kernels/kernel_test_support.h"

namespace jigsaw::kernels {
namespace {

using RowsTest = VariantTest;

const int kWidths[] = {1, 2, 15, 16, 17, 31, 64, 100, 577};
constexpr float kInf = std::numeric_limits<float>::infinity();

// ---- exp and log -------------------------------------------------------------------------------------------------

TEST_F(RowsTest, ExpIsWithinOneUlpOverItsWholeRange) {
  Floats x;
  for (float value = -87.33f; value < 88.72f; value += 0.0013f) x.push_back(value);
  for (int e = -30; e < 0; ++e) {
    x.push_back(std::ldexp(1.1f, e));
    x.push_back(-std::ldexp(1.3f, e));
  }
  const Floats y = same_bits_everywhere([&](Lane&) {
    Floats out(x.size());
    exp_scaled(x.size(), x.data(), 0, 1, out.data());
    return out;
  });
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp(static_cast<double>(x[i]));
    const auto rounded = static_cast<float>(expected);
    const double ulp = static_cast<double>(std::nextafter(rounded, kInf)) - static_cast<double>(rounded);
    worst = std::max(worst, std::abs(static_cast<double>(y[i]) - expected) / ulp);
  }
  EXPECT_LT(worst, 1.0);
}

TEST_F(RowsTest, ExpAtTheExtremes) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Floats x{-kInf, -1e30f, -1000.0f, -104.0f, -87.4f, -0.0f, 0.0f, 88.8f, 1000.0f, 3e38f, kInf, nan, -87.3f};
  for (const std::string& variant : variants_of_this_cpu()) {
    ASSERT_TRUE(select_variant(variant));
    Floats y(x.size());
    exp_scaled(x.size(), x.data(), 0, 1, y.data());
    for (int i = 0; i < 5; ++i) EXPECT_EQ(y[i], 0.0f) << variant << " exp(" << x[i] << ")";
    EXPECT_EQ(y[5], 1.0f);
    EXPECT_EQ(y[6], 1.0f);
    for (int i = 7; i < 11; ++i) EXPECT_EQ(y[i], kInf) << variant << " exp(" << x[i] << ")";
    EXPECT_TRUE(std::isnan(y[11]));
    EXPECT_GE(y[12], std::numeric_limits<float>::min());
  }
}

TEST_F(RowsTest, ExpScaledShiftsThenScalesAndMayWorkInPlace) {
  Floats x = random_floats(37, 1, 3.0f);
  std::vector<double> expected;
  for (float value : x) expected.push_back(std::exp((static_cast<double>(value) - 0.5) * 1.25));
  exp_scaled(x.size(), x.data(), 0.5f, 1.25f, x.data());
  EXPECT_TRUE(close(x, expected, 1e-6));
}

TEST_F(RowsTest, LogOfTheSumIsRoundedFromDouble) {
  // A row of n equal logits: the sum is n exactly.
  for (int n : {1, 2, 3, 10, 1000, 49152, 151936}) {
    const Floats x(static_cast<std::size_t>(n), -7.25f);
    Lane lane(1);
    LogSoftmaxStats stats;
    log_softmax_stats(lane, 1, n, x.data(), n, &stats);
    EXPECT_EQ(stats.max, -7.25f);
    EXPECT_EQ(stats.log_sum, static_cast<float>(std::log(static_cast<double>(n)))) << n;
  }
}

// ---- Log-softmax -------------------------------------------------------------------------------------------------

struct Softmax {
  double max = 0, log_sum = 0, entropy = 0;
  std::vector<double> p;
};

Softmax softmax_of(const float* x, int n) {
  Softmax s;
  s.max = *std::max_element(x, x + n);
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += std::exp(x[i] - s.max);
  s.log_sum = std::log(sum);
  for (int i = 0; i < n; ++i) {
    s.p.push_back(std::exp(x[i] - s.max - s.log_sum));
    if (s.p.back() > 0) s.entropy -= s.p.back() * std::log(s.p.back());
  }
  return s;
}

TEST_F(RowsTest, LogSoftmaxStatsEntropyAndBackward) {
  for (int vocab : {1, 15, 16, 17, 300, 5003}) {
    const int rows = 5;
    const std::ptrdiff_t stride = vocab + 2;
    Floats logits = random_floats(static_cast<std::size_t>(rows * stride), 1, 12.0f);
    if (vocab > 1) logits[1] = -kInf;  // a masked token
    const std::vector<std::int32_t> targets{0, vocab - 1, vocab / 2, vocab / 3, 0};
    const Floats dlogp{1.0f, -0.5f, 2.0f, 0.0f, -3.0f};
    const Floats all = same_bits_everywhere([&](Lane& lane) {
      std::vector<LogSoftmaxStats> stats(rows);
      Floats out(rows), x = logits;
      log_softmax_stats(lane, rows, vocab, x.data(), stride, stats.data());
      entropy(lane, rows, vocab, x.data(), stride, stats.data(), out.data());
      log_softmax_backward(lane, rows, vocab, x.data(), stride, stats.data(), targets, dlogp.data());
      for (const LogSoftmaxStats& s : stats) out.insert(out.end(), {s.max, s.log_sum});
      out.insert(out.end(), x.begin(), x.end());
      return out;
    });
    std::vector<double> entropies, stats, gradients = to_double(logits);
    for (int r = 0; r < rows; ++r) {
      const Softmax s = softmax_of(&logits[r * stride], vocab);
      entropies.push_back(s.entropy);
      stats.insert(stats.end(), {s.max, s.log_sum});
      for (int i = 0; i < vocab; ++i) {
        gradients[r * stride + i] = static_cast<double>(dlogp[r]) * ((i == targets[r] ? 1.0 : 0.0) - s.p[i]);
      }
    }
    std::vector<double> expected = entropies;
    expected.insert(expected.end(), stats.begin(), stats.end());
    expected.insert(expected.end(), gradients.begin(), gradients.end());
    EXPECT_TRUE(close(all, expected, 3e-6)) << "vocabulary of " << vocab;
  }
}

// ---- RMS norm ----------------------------------------------------------------------------------------------------

TEST_F(RowsTest, RmsNormAndItsBackward) {
  for (int width : kWidths) {
    const int rows = 7;
    const float eps = 1e-5f;
    const std::ptrdiff_t stride = width + 4;
    const Floats x = random_floats(static_cast<std::size_t>(rows * stride), 1);
    const Floats weight = random_floats(static_cast<std::size_t>(width), 2);
    const Floats dy = random_floats(static_cast<std::size_t>(rows * width), 3);
    const Floats dx_before = random_floats(static_cast<std::size_t>(rows * stride), 4);
    const Floats dweight_before = random_floats(static_cast<std::size_t>(width), 5);
    for (bool accumulate : {false, true}) {
      const Floats all = same_bits_everywhere([&](Lane& lane) {
        Floats y(static_cast<std::size_t>(rows * stride), kUntouched), dx = dx_before, dweight = dweight_before;
        rms_norm(lane, rows, width, x.data(), stride, weight.data(), eps, y.data(), stride);
        rms_norm_backward(lane, rows, width, x.data(), stride, weight.data(), eps, dy.data(), width, dx.data(), stride,
                          accumulate, dweight.data());
        y.insert(y.end(), dx.begin(), dx.end());
        y.insert(y.end(), dweight.begin(), dweight.end());
        return y;
      });
      std::vector<double> y(static_cast<std::size_t>(rows * stride), kUntouched), dx = to_double(dx_before);
      std::vector<double> dweight = to_double(dweight_before);
      for (int r = 0; r < rows; ++r) {
        double squares = 0, dot = 0;
        for (int i = 0; i < width; ++i) squares += static_cast<double>(x[r * stride + i]) * x[r * stride + i];
        const double inv = 1 / std::sqrt(squares / width + static_cast<double>(eps));
        for (int i = 0; i < width; ++i) dot += static_cast<double>(dy[r * width + i]) * weight[i] * x[r * stride + i];
        for (int i = 0; i < width; ++i) {
          y[r * stride + i] = x[r * stride + i] * inv * static_cast<double>(weight[i]);
          const double d = inv * dy[r * width + i] * weight[i] - x[r * stride + i] * inv * inv * inv * dot / width;
          dx[r * stride + i] = d + (accumulate ? dx_before[r * stride + i] : 0.0f);
          dweight[i] += dy[r * width + i] * x[r * stride + i] * inv;
        }
      }
      y.insert(y.end(), dx.begin(), dx.end());
      y.insert(y.end(), dweight.begin(), dweight.end());
      EXPECT_TRUE(close(all, y, 1e-5)) << "width " << width;
    }
  }
}

TEST_F(RowsTest, RmsNormWorksInPlaceAndItsBackwardOverDy) {
  const int rows = 300, width = 90;
  const Floats x = random_floats(rows * width, 1), dy = random_floats(rows * width, 2);
  const Floats weight = random_floats(width, 3);
  Lane lane(2);
  Floats apart(rows * width), in_place = x;
  rms_norm(lane, rows, width, x.data(), width, weight.data(), 1e-6f, apart.data(), width);
  rms_norm(lane, rows, width, in_place.data(), width, weight.data(), 1e-6f, in_place.data(), width);
  EXPECT_TRUE(bits_equal(in_place, apart));
  Floats dx(rows * width), over_dy = dy, dweight(width), dweight_over_dy(width);
  rms_norm_backward(lane, rows, width, x.data(), width, weight.data(), 1e-6f, dy.data(), width, dx.data(), width, false,
                    dweight.data());
  rms_norm_backward(lane, rows, width, x.data(), width, weight.data(), 1e-6f, over_dy.data(), width, over_dy.data(),
                    width, false, dweight_over_dy.data());
  EXPECT_TRUE(bits_equal(over_dy, dx));
  EXPECT_TRUE(bits_equal(dweight_over_dy, dweight));
}

// ---- Rope --------------------------------------------------------------------------------------------------------

TEST_F(RowsTest, RopeRotatesPairsAndItsInverseRotatesBack) {
  for (int head_dim : {2, 6, 16, 34, 64, 128}) {
    const int rows = 6, heads = 3, half = head_dim / 2;
    const std::ptrdiff_t stride = heads * head_dim + 5;
    const std::vector<std::int32_t> positions{0, 1, 2, 9, 4, 9};
    Floats cos_sin(static_cast<std::size_t>(10) * head_dim);
    for (int p = 0; p < 10; ++p) {
      for (int i = 0; i < half; ++i) {
        const double angle = p * std::pow(10000.0, -2.0 * i / head_dim);
        cos_sin[p * head_dim + i] = static_cast<float>(std::cos(angle));
        cos_sin[p * head_dim + half + i] = static_cast<float>(std::sin(angle));
      }
    }
    const Floats x = random_floats(static_cast<std::size_t>(rows * stride), 1);
    const auto rotated = [&](bool inverse, const Floats& input) {
      return same_bits_everywhere([&](Lane& lane) {
        Floats out = input;
        rope(lane, rows, heads, head_dim, out.data(), stride, positions, cos_sin.data(), inverse);
        return out;
      });
    };
    std::vector<double> expected = to_double(x);
    for (int r = 0; r < rows; ++r) {
      for (int h = 0; h < heads; ++h) {
        for (int i = 0; i < half; ++i) {
          const double c = cos_sin[positions[r] * head_dim + i], s = cos_sin[positions[r] * head_dim + half + i];
          const std::size_t a = r * stride + h * head_dim + i, b = a + half;
          expected[a] = x[a] * c - x[b] * s;
          expected[b] = x[b] * c + x[a] * s;
        }
      }
    }
    const Floats forward = rotated(false, x);
    EXPECT_TRUE(close(forward, expected, 1e-6));
    EXPECT_TRUE(close(rotated(true, forward), to_double(x), 1e-6));
  }
}

// ---- SwiGLU ------------------------------------------------------------------------------------------------------

TEST_F(RowsTest, SiluMulAndItsBackward) {
  for (int width : kWidths) {
    const int rows = 4;
    Floats gate_up = random_floats(static_cast<std::size_t>(rows * 2 * width), 1, 6.0f);
    gate_up[0] = 1000.0f;
    if (width > 1) gate_up[1] = -1000.0f;
    const Floats dout = random_floats(static_cast<std::size_t>(rows * width), 2);
    const Floats all = same_bits_everywhere([&](Lane& lane) {
      Floats out(static_cast<std::size_t>(rows * width)), d(gate_up.size());
      silu_mul(lane, rows, width, gate_up.data(), out.data());
      silu_mul_backward(lane, rows, width, gate_up.data(), dout.data(), d.data());
      out.insert(out.end(), d.begin(), d.end());
      return out;
    });
    std::vector<double> out, d(gate_up.size());
    for (int r = 0; r < rows; ++r) {
      for (int i = 0; i < width; ++i) {
        const std::size_t g_at = r * 2 * width + i;
        const double g = gate_up[g_at], u = gate_up[g_at + width], dy = dout[r * width + i];
        const double s = 1 / (1 + std::exp(-g));
        out.push_back(g * s * u);
        d[g_at] = dy * u * (s + g * s * (1 - s));
        d[g_at + width] = dy * g * s;
      }
    }
    out.insert(out.end(), d.begin(), d.end());
    EXPECT_TRUE(close(all, out, 2e-6)) << "width " << width;
  }
}

// ---- Embedding ---------------------------------------------------------------------------------------------------

TEST_F(RowsTest, EmbedReadsRowsOfThePanelsAndItsBackwardAddsInOrder) {
  const int vocab = 37, hidden = 50;
  const auto at = [&](int token, int i) {
    return static_cast<std::size_t>((token / 16 * hidden + i) * 16 + token % 16);
  };
  const Floats panels = random_floats(48 * hidden, 1);
  const std::vector<std::int32_t> tokens{0, 36, 15, 16, 36, 36, 1};
  const Floats y = same_bits_everywhere([&](Lane& lane) {
    Floats out(tokens.size() * hidden);
    embed(lane, tokens, hidden, panels.data(), out.data());
    return out;
  });
  const Floats dy = random_floats(tokens.size() * hidden, 2);
  const Floats gradient = same_bits_everywhere([&](Lane& lane) {
    Floats out = panels;
    embed_backward(lane, tokens, hidden, dy.data(), out.data());
    return out;
  });
  Floats expected = panels;
  for (std::size_t r = 0; r < tokens.size(); ++r) {
    ASSERT_LT(tokens[r], vocab);
    for (int i = 0; i < hidden; ++i) {
      EXPECT_EQ(y[r * hidden + i], panels[at(tokens[r], i)]);
      expected[at(tokens[r], i)] += dy[r * hidden + i];
    }
  }
  EXPECT_TRUE(bits_equal(gradient, expected));
}

}  // namespace
}  // namespace jigsaw::kernels
