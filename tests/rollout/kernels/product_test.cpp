// Products against double precision, and their bits across variants, threads and row counts.
#include <algorithm>
#include <bit>
#include <limits>

#include "tests/rollout/kernels/kernel_test_support.h"

namespace jigsaw::kernels {
namespace {

using ProductTest = VariantTest;

// W[n][k] in panels of 16 outputs, padded with zero rows.
Floats to_panels(const Floats& w, int n, int k) {
  Floats panels(static_cast<std::size_t>((n + 15) / 16) * 16 * k);
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < k; ++j)
      panels[(static_cast<std::size_t>(i / 16) * k + j) * 16 + i % 16] = w[static_cast<std::size_t>(i) * k + j];
  }
  return panels;
}

Floats from_panels(const Floats& panels, int n, int k) {
  Floats w(static_cast<std::size_t>(n) * k);
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < k; ++j)
      w[static_cast<std::size_t>(i) * k + j] = panels[(static_cast<std::size_t>(i / 16) * k + j) * 16 + i % 16];
  }
  return w;
}

struct Shape {
  int rows, k, n;
};
const Shape kShapes[] = {{1, 1, 1},    {1, 15, 17},   {2, 16, 16},  {3, 17, 33},   {4, 64, 48},  {5, 33, 100},
                         {6, 40, 65},  {7, 130, 31},  {13, 50, 97}, {14, 20, 32},  {15, 64, 15}, {29, 100, 64},
                         {70, 48, 81}, {9, 1200, 40}, {200, 30, 5}, {2, 1030, 200}};

TEST_F(ProductTest, LinearIsTheProductWithTheTransposedWeights) {
  for (const Shape& shape : kShapes) {
    const int rows = shape.rows, k = shape.k, n = shape.n;
    const std::ptrdiff_t x_stride = k + 3;
    const std::ptrdiff_t y_stride = n + 5;
    const Floats x = random_floats(static_cast<std::size_t>(rows * x_stride), 1);
    const Floats w = random_floats(static_cast<std::size_t>(n) * k, 2);
    const Floats bias = random_floats(static_cast<std::size_t>(n), 3);
    const Floats panels = to_panels(w, n, k);
    for (bool with_bias : {false, true}) {
      const Floats y = same_bits_everywhere([&](Lane& lane) {
        Floats out(static_cast<std::size_t>(rows * y_stride), kUntouched);
        linear(lane, rows, k, n, x.data(), x_stride, panels.data(), with_bias ? bias.data() : nullptr, out.data(),
               y_stride);
        return out;
      });
      std::vector<double> expected(y.size(), kUntouched);
      for (int r = 0; r < rows; ++r) {
        for (int i = 0; i < n; ++i) {
          double sum = 0;
          for (int j = 0; j < k; ++j)
            sum += static_cast<double>(x[r * x_stride + j]) * w[static_cast<std::size_t>(i) * k + j];
          expected[r * y_stride + i] = sum + (with_bias ? bias[i] : 0.0f);
        }
      }
      EXPECT_TRUE(close(y, expected, 2e-5)) << rows << " x " << k << " x " << n;
    }
  }
}

TEST_F(ProductTest, EachOutputIsOneFmaChainInOrderOfK) {
  const int rows = 3, k = 700, n = 20;
  const Floats x = random_floats(rows * k, 1);
  const Floats w = random_floats(n * k, 2);
  const Floats bias = random_floats(n, 3);
  const Floats panels = to_panels(w, n, k);
  Lane lane(1);
  Floats y(rows * n);
  linear(lane, rows, k, n, x.data(), k, panels.data(), bias.data(), y.data(), n);
  Floats expected(rows * n);
  for (int r = 0; r < rows; ++r) {
    for (int i = 0; i < n; ++i) {
      float chain = 0;
      for (int j = 0; j < k; ++j) chain = std::fma(x[r * k + j], w[i * k + j], chain);
      expected[r * n + i] = chain + bias[i];
    }
  }
  EXPECT_TRUE(bits_equal(y, expected));
}

TEST_F(ProductTest, ARowDoesNotDependOnTheRowsBesideIt) {
  const int k = 83, n = 116;
  const Floats x = random_floats(70 * k, 1);
  const Floats panels = to_panels(random_floats(n * k, 2), n, k);
  for (const std::string& variant : variants_of_this_cpu()) {
    ASSERT_TRUE(select_variant(variant));
    Lane lane(2);
    Floats alone(70 * n);
    for (int r = 0; r < 70; ++r) linear(lane, 1, k, n, &x[r * k], k, panels.data(), nullptr, &alone[r * n], n);
    for (int rows = 2; rows <= 70; rows += variant == "portable" ? 17 : 1) {
      Floats together(70 * n);
      linear(lane, rows, k, n, x.data(), k, panels.data(), nullptr, together.data(), n);
      std::copy(alone.begin() + rows * n, alone.end(), together.begin() + rows * n);
      ASSERT_TRUE(bits_equal(together, alone)) << variant << ", " << rows << " rows";
    }
  }
}

TEST_F(ProductTest, BackwardInputIsTheProductWithTheWeights) {
  for (const Shape& shape : kShapes) {
    const int rows = shape.rows, k = shape.k, n = shape.n;
    const Floats dy = random_floats(static_cast<std::size_t>(rows) * n, 1);
    const Floats w = random_floats(static_cast<std::size_t>(n) * k, 2);
    const Floats panels = to_panels(w, n, k);
    const std::ptrdiff_t dx_stride = k + 1;
    for (bool accumulate : {false, true}) {
      const Floats before = random_floats(static_cast<std::size_t>(rows * dx_stride), 4);
      const Floats dx = same_bits_everywhere([&](Lane& lane) {
        Floats out = before;
        linear_backward_input(lane, rows, k, n, dy.data(), n, panels.data(), out.data(), dx_stride, accumulate);
        return out;
      });
      std::vector<double> expected = to_double(before);
      for (int r = 0; r < rows; ++r) {
        for (int j = 0; j < k; ++j) {
          double sum = accumulate ? before[r * dx_stride + j] : 0.0f;
          for (int i = 0; i < n; ++i)
            sum +=
                static_cast<double>(dy[static_cast<std::size_t>(r) * n + i]) * w[static_cast<std::size_t>(i) * k + j];
          expected[r * dx_stride + j] = sum;
        }
      }
      EXPECT_TRUE(close(dx, expected, 2e-5)) << rows << " x " << k << " x " << n;
    }
  }
}

TEST_F(ProductTest, BackwardWeightAddsTheRowsInOrder) {
  for (const Shape& shape : kShapes) {
    const int rows = shape.rows, k = shape.k, n = shape.n;
    const Floats x = random_floats(static_cast<std::size_t>(rows) * k, 1);
    const Floats dy = random_floats(static_cast<std::size_t>(rows) * n, 2);
    const Floats before = random_floats(static_cast<std::size_t>(n) * k, 3);
    const Floats panels_before = to_panels(before, n, k);
    const Floats dw = same_bits_everywhere([&](Lane& lane) {
      Floats out = panels_before;
      linear_backward_weight(lane, rows, k, n, x.data(), k, dy.data(), n, out.data());
      return out;
    });
    Floats expected = before;
    for (int r = 0; r < rows; ++r) {
      for (int i = 0; i < n; ++i) {
        for (int j = 0; j < k; ++j) {
          float& sum = expected[static_cast<std::size_t>(i) * k + j];
          sum = std::fma(x[static_cast<std::size_t>(r) * k + j], dy[static_cast<std::size_t>(r) * n + i], sum);
        }
      }
    }
    EXPECT_TRUE(bits_equal(from_panels(dw, n, k), expected)) << rows << " x " << k << " x " << n;
    // The padding stays zero.
    EXPECT_TRUE(bits_equal(dw, to_panels(expected, n, k)));
  }
}

TEST_F(ProductTest, RowsAddedInTwoCallsGiveTheBitsOfOne) {
  const int k = 40, n = 50;
  const Floats x = random_floats(30 * k, 1);
  const Floats dy = random_floats(30 * n, 2);
  Lane lane(2);
  Floats once(to_panels(Floats(n * k), n, k));
  Floats twice = once;
  linear_backward_weight(lane, 30, k, n, x.data(), k, dy.data(), n, once.data());
  linear_backward_weight(lane, 11, k, n, x.data(), k, dy.data(), n, twice.data());
  linear_backward_weight(lane, 19, k, n, &x[11 * k], k, &dy[11 * n], n, twice.data());
  EXPECT_TRUE(bits_equal(twice, once));
}

TEST_F(ProductTest, ReadsAndWritesOnlyItsColumns) {
  // B ends with the last column it may read; the floats after it would poison a careless sum.
  const int rows = 6, depth = 21, columns = 19;
  const Floats a = random_floats(rows * depth, 1);
  Floats b(2 * depth * 16, std::numeric_limits<float>::quiet_NaN());
  const Floats values = random_floats(2 * depth * 16, 2);
  for (int k = 0; k < depth; ++k) {
    for (int i = 0; i < columns; ++i)
      b[(i / 16 * depth + k) * 16 + i % 16] = values[(i / 16 * depth + k) * 16 + i % 16];
  }
  const Floats c = same_bits_everywhere([&](Lane& lane) {
    Floats out(rows * 32, kUntouched);
    ProductArgs args;
    args.rows = rows;
    args.depth = depth;
    args.num_columns = columns;
    args.a = a.data();
    args.a_row_stride = depth;
    args.b = b.data();
    args.b_panel_stride = depth * 16;
    args.c = out.data();
    args.c_row_stride = 32;
    product(lane, args);
    return out;
  });
  std::vector<double> expected(rows * 32, kUntouched);
  for (int r = 0; r < rows; ++r) {
    for (int i = 0; i < columns; ++i) {
      double sum = 0;
      for (int k = 0; k < depth; ++k)
        sum += static_cast<double>(a[r * depth + k]) * b[(i / 16 * depth + k) * 16 + i % 16];
      expected[r * 32 + i] = sum;
    }
  }
  EXPECT_TRUE(close(c, expected, 1e-5));
}

// A matrix rounded to bf16 as pairs, and the same numbers as fp32 panels.
struct RoundedMatrix {
  std::vector<std::uint32_t> pairs;
  Floats panels;
};
RoundedMatrix round_matrix(const Floats& panels, int n, int k) {
  Lane lane(2);
  RoundedMatrix rounded{std::vector<std::uint32_t>(bf16_words(k, n)), panels};
  round_to_bf16(lane, k, n, panels.data(), rounded.pairs.data());
  for (std::size_t i = 0; i < panels.size(); ++i) {
    const std::size_t depth = static_cast<std::size_t>(k), panel = i / (16 * depth), j = i / 16 % depth;
    const std::uint32_t pair = rounded.pairs[(panel * ((depth + 1) / 2) + j / 2) * 16 + i % 16];
    rounded.panels[i] = std::bit_cast<float>(j % 2 == 0 ? pair << 16 : pair & 0xffff0000U);
  }
  return rounded;
}

TEST_F(ProductTest, RoundsToTheNearestBf16AndOfTwoToTheEvenOne) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Floats values = {1.0f,        -1.0f,       0.0f,     -0.0f,     0x1.01p0f, 0x1.03p0f,   0x1.00fffep0f,
                         0x1.0102p0f, 0x1.ffp127f, infinity, -infinity, 0x1p-149f, 0x1.8p-134f, 0x1.fep-127f};
  const Floats nearest = {1.0f,      -1.0f,    0.0f,     -0.0f,     0x1.00p0f, 0x1.04p0f, 0x1.00p0f,
                          0x1.02p0f, infinity, infinity, -infinity, 0.0f,      0x1p-133f, 0x1p-126f};
  Floats panels(16 * values.size());
  for (std::size_t i = 0; i < values.size(); ++i) panels[16 * i] = values[i];
  panels[1] = std::numeric_limits<float>::quiet_NaN();
  panels[17] = std::bit_cast<float>(0x7f800001U);
  const Floats rounded = round_matrix(panels, 16, static_cast<int>(values.size())).panels;
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(rounded[16 * i]), std::bit_cast<std::uint32_t>(nearest[i]))
        << std::hexfloat << values[i] << " became " << rounded[16 * i];
  }
  EXPECT_TRUE(std::isnan(rounded[1]));
  EXPECT_TRUE(std::isnan(rounded[17]));
}

TEST_F(ProductTest, WeightsInBf16GiveTheBitsOfTheSameNumbersInFp32) {
  for (const Shape& shape : kShapes) {
    const int rows = shape.rows, k = shape.k, n = shape.n;
    const RoundedMatrix w = round_matrix(to_panels(random_floats(static_cast<std::size_t>(n) * k, 2), n, k), n, k);
    const Floats x = random_floats(static_cast<std::size_t>(rows) * k, 1);
    const Floats dy = random_floats(static_cast<std::size_t>(rows) * n, 3);
    const Floats bias = random_floats(static_cast<std::size_t>(n), 4);
    // Output and gradient of the input, one after the other.
    const auto run = [&](Lane& lane, WeightPanels panels) {
      Floats out(static_cast<std::size_t>(rows) * (n + k), kUntouched);
      linear(lane, rows, k, n, x.data(), k, panels, bias.data(), out.data(), n);
      linear_backward_input(lane, rows, k, n, dy.data(), n, panels, &out[static_cast<std::size_t>(rows) * n], k, false);
      return out;
    };
    const Floats in_bf16 = same_bits_everywhere([&](Lane& lane) { return run(lane, WeightPanels(w.pairs.data())); });
    Lane lane(1);
    EXPECT_TRUE(bits_equal(in_bf16, run(lane, w.panels.data()))) << rows << " x " << k << " x " << n;
  }
}

TEST_F(ProductTest, ARowOfBf16ProductsDoesNotDependOnTheRowsBesideIt) {
  const int k = 83, n = 116, rows_max = 40;
  const Floats x = random_floats(rows_max * k, 1);
  const RoundedMatrix w = round_matrix(to_panels(random_floats(n * k, 2), n, k), n, k);
  for (const std::string& variant : variants_of_this_cpu()) {
    ASSERT_TRUE(select_variant(variant));
    Lane lane(2);
    Floats alone(rows_max * n);
    for (int r = 0; r < rows_max; ++r) linear(lane, 1, k, n, &x[r * k], k, w.panels.data(), nullptr, &alone[r * n], n);
    for (int rows = 1; rows <= rows_max; rows += variant == "portable" ? 13 : 1) {
      Floats together(rows_max * n);
      linear(lane, rows, k, n, x.data(), k, WeightPanels(w.pairs.data()), nullptr, together.data(), n);
      std::copy(alone.begin() + rows * n, alone.end(), together.begin() + rows * n);
      ASSERT_TRUE(bits_equal(together, alone)) << variant << ", " << rows << " rows";
    }
  }
}

TEST_F(ProductTest, AnEmbeddingInBf16GivesItsRows) {
  Lane lane(2);
  for (const int hidden : {7, 48}) {
    const int vocab = 37;
    const RoundedMatrix w = round_matrix(to_panels(random_floats(vocab * hidden, 1), vocab, hidden), vocab, hidden);
    const std::vector<std::int32_t> tokens = {0, 36, 17, 3, 17};
    Floats in_bf16(tokens.size() * hidden), in_fp32 = in_bf16;
    embed(lane, tokens, hidden, WeightPanels(w.pairs.data()), in_bf16.data());
    embed(lane, tokens, hidden, w.panels.data(), in_fp32.data());
    EXPECT_TRUE(bits_equal(in_bf16, in_fp32));
  }
}

TEST_F(ProductTest, ADepthOfZeroWritesZerosOrKeeps) {
  Lane lane(1);
  ProductArgs args;
  args.rows = 2;
  args.num_columns = 16;
  Floats c(32, 3.0f);
  args.c = c.data();
  args.c_row_stride = 16;
  args.accumulate = true;
  product(lane, args);
  EXPECT_EQ(c, Floats(32, 3.0f));
  args.accumulate = false;
  product(lane, args);
  EXPECT_EQ(c, Floats(32, 0.0f));
}

TEST_F(ProductTest, BiasBackwardAddsTheRowsInOrder) {
  for (int n : {1, 16, 37, 530}) {
    const int rows = 41;
    const Floats dy = random_floats(static_cast<std::size_t>(rows) * n, 1);
    const Floats before = random_floats(static_cast<std::size_t>(n), 2);
    const Floats result = same_bits_everywhere([&](Lane& lane) {
      Floats out = before;
      bias_backward(lane, rows, n, dy.data(), n, out.data());
      return out;
    });
    Floats expected = before;
    for (int r = 0; r < rows; ++r) {
      for (int i = 0; i < n; ++i) expected[i] += dy[r * n + i];
    }
    EXPECT_TRUE(bits_equal(result, expected));
  }
}

}  // namespace
}  // namespace jigsaw::kernels
