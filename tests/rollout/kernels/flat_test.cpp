// Flat buffers, and the choice of the variant.
#include "tests/rollout/kernels/kernel_test_support.h"

namespace jigsaw::kernels {
namespace {

using FlatTest = VariantTest;

TEST_F(FlatTest, VariantsAreSelectedByName) {
  EXPECT_FALSE(select_variant("sse"));
  EXPECT_TRUE(select_variant("portable"));
  EXPECT_EQ(variant_name(), "portable");
}

TEST_F(FlatTest, TheVariantsOfThisCpuAreTested) {
  for (const char* name : {"avx512", "avx2"}) {
    if (!select_variant(name)) GTEST_SKIP() << "this CPU has no " << name << ": its bits are not compared here";
  }
}

TEST_F(FlatTest, AddMayWorkInPlace) {
  for (std::size_t count : {0, 1, 15, 16, 17, 40000}) {
    const Floats a = random_floats(count, 1), b = random_floats(count, 2);
    Floats expected(count);
    for (std::size_t i = 0; i < count; ++i) expected[i] = a[i] + b[i];
    Lane lane(2);
    Floats out = a;
    add(lane, count, out.data(), b.data(), out.data());
    EXPECT_TRUE(bits_equal(out, expected));
  }
}

TEST_F(FlatTest, SumOfSquares) {
  for (std::size_t count : {0, 1, 17, 16384, 16385, 100003}) {
    const Floats x = random_floats(count, 1);
    double expected = 0;
    for (float value : x) expected += static_cast<double>(value) * static_cast<double>(value);
    double first = -1;
    for (const std::string& variant : variants_of_this_cpu()) {
      ASSERT_TRUE(select_variant(variant));
      for (int threads : {1, 2, 3}) {
        Lane lane(threads);
        const double sum = sum_of_squares(lane, count, x.data());
        if (first < 0) first = sum;
        EXPECT_EQ(sum, first) << variant << ", " << threads << " threads";
      }
    }
    EXPECT_NEAR(first, expected, 1e-12 * expected);
  }
}

TEST_F(FlatTest, AdamWFollowsThePaper) {
  const std::size_t count = 50001;
  const Floats gradient = random_floats(count, 1);
  const Floats start = random_floats(count, 2);
  AdamWStep step;
  step.lr = 1e-2f;
  step.weight_decay = 0.1f;
  step.grad_scale = 0.5f;
  const int num_steps = 5;
  const Floats all = same_bits_everywhere([&](Lane& lane) {
    Floats param = start, m(count), v(count);
    AdamWStep s = step;
    for (s.step = 1; s.step <= num_steps; ++s.step)
      adamw(lane, count, gradient.data(), param.data(), m.data(), v.data(), s);
    param.insert(param.end(), m.begin(), m.end());
    param.insert(param.end(), v.begin(), v.end());
    return param;
  });
  std::vector<double> param = to_double(start), m(count), v(count);
  const double b1 = step.beta1, b2 = step.beta2, lr = step.lr;
  for (int t = 1; t <= num_steps; ++t) {
    for (std::size_t i = 0; i < count; ++i) {
      const double g = static_cast<double>(gradient[i]) * static_cast<double>(step.grad_scale);
      m[i] = b1 * m[i] + (1 - b1) * g;
      v[i] = b2 * v[i] + (1 - b2) * g * g;
      param[i] -= lr * static_cast<double>(step.weight_decay) * param[i];
      param[i] -= lr * (m[i] / (1 - std::pow(b1, t))) /
                  (std::sqrt(v[i] / (1 - std::pow(b2, t))) + static_cast<double>(step.eps));
    }
  }
  param.insert(param.end(), m.begin(), m.end());
  param.insert(param.end(), v.begin(), v.end());
  EXPECT_TRUE(close(all, param, 2e-6));
}

}  // namespace
}  // namespace jigsaw::kernels
