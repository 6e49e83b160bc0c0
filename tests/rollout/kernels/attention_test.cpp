// Attention against double precision, its independence of how rows come together, and its gradients.
#include <algorithm>
#include <limits>

#include "tests/rollout/kernels/kernel_test_support.h"

namespace jigsaw::kernels {
namespace {

using AttentionTest = VariantTest;

struct Case {
  int heads, kv_heads, head_dim, window, positions;
};
const Case kCases[] = {{1, 1, 2, 0, 5},      {9, 3, 64, 0, 70},   {4, 4, 16, 0, 33}, {8, 2, 20, 0, 49},
                       {6, 1, 48, 0, 17},    {4, 2, 64, 7, 60},   {2, 1, 18, 1, 40}, {3, 1, 32, 16, 50},
                       {16, 1, 80, 40, 100}, {2, 2, 128, 33, 90}, {1, 1, 64, 0, 1}};

AttentionShape shape_of(const Case& c) {
  AttentionShape shape;
  shape.num_heads = c.heads;
  shape.num_kv_heads = c.kv_heads;
  shape.head_dim = c.head_dim;
  shape.sliding_window = c.window;
  shape.scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
  return shape;
}

// A sequence's queries, keys and values, and its blocks with all of them written; unwritten slots hold NaN.
struct Sequence {
  Sequence(const Case& c, std::uint32_t seed)
      : q(random_floats(static_cast<std::size_t>(c.positions) * c.heads * c.head_dim, seed, 2.0f)),
        k(random_floats(static_cast<std::size_t>(c.positions) * c.kv_heads * c.head_dim, seed + 1, 2.0f)),
        v(random_floats(static_cast<std::size_t>(c.positions) * c.kv_heads * c.head_dim, seed + 2)) {
    const std::size_t block_floats = kv_block_floats(c.kv_heads, c.head_dim);
    const int num_blocks = (c.positions + 15) / 16;
    storage.assign(block_floats * num_blocks, std::numeric_limits<float>::quiet_NaN());
    for (int b = 0; b < num_blocks; ++b) blocks.push_back(&storage[block_floats * b]);
    const_blocks.assign(blocks.begin(), blocks.end());
  }
  void write(Lane& lane, const Case& c, int begin, int end) {
    std::vector<KvWrite> writes;
    const std::size_t width = static_cast<std::size_t>(c.kv_heads) * c.head_dim;
    for (int p = begin; p < end; ++p) writes.push_back({blocks[p / 16], p % 16, &k[p * width], &v[p * width]});
    write_kv(lane, writes, c.kv_heads, c.head_dim);
  }
  Floats q, k, v, storage;
  std::vector<float*> blocks;
  std::vector<const float*> const_blocks;
};

// Softmax attention of whole sequences in double precision.
std::vector<double> reference(const Case& c, const std::vector<double>& q, const std::vector<double>& k,
                              const std::vector<double>& v) {
  const AttentionShape shape = shape_of(c);
  std::vector<double> out(q.size());
  const auto q_at = [&](int p, int h) { return &q[(static_cast<std::size_t>(p) * c.heads + h) * c.head_dim]; };
  const auto kv_at = [&](const std::vector<double>& x, int p, int h) {
    return &x[(static_cast<std::size_t>(p) * c.kv_heads + h / (c.heads / c.kv_heads)) * c.head_dim];
  };
  for (int p = 0; p < c.positions; ++p) {
    for (int h = 0; h < c.heads; ++h) {
      const int begin = c.window > 0 ? std::max(0, p - c.window + 1) : 0;
      std::vector<double> scores;
      for (int j = begin; j <= p; ++j) {
        double s = 0;
        for (int d = 0; d < c.head_dim; ++d) s += q_at(p, h)[d] * kv_at(k, j, h)[d];
        scores.push_back(s * static_cast<double>(shape.scale));
      }
      const double highest = *std::max_element(scores.begin(), scores.end());
      double sum = 0;
      for (double& s : scores) sum += s = std::exp(s - highest);
      double* const o = &out[(static_cast<std::size_t>(p) * c.heads + h) * c.head_dim];
      for (int j = begin; j <= p; ++j) {
        for (int d = 0; d < c.head_dim; ++d) o[d] += scores[j - begin] / sum * kv_at(v, j, h)[d];
      }
    }
  }
  return out;
}

// Runs positions chunk by chunk, each written and attended to in one call, as an engine would.
Floats run_in_chunks(Lane& lane, const Case& c, Sequence& sequence, const std::vector<int>& chunks) {
  const std::ptrdiff_t stride = c.heads * c.head_dim;
  Floats out(sequence.q.size(), kUntouched);
  int begin = 0;
  for (std::size_t i = 0; begin < c.positions; ++i) {
    const int rows = std::min(chunks[i % chunks.size()], c.positions - begin);
    sequence.write(lane, c, begin, begin + rows);
    const AttentionRows call{&sequence.q[begin * stride], &out[begin * stride], rows, begin,
                             sequence.const_blocks.data()};
    attention(lane, shape_of(c), {&call, 1}, stride, stride);
    begin += rows;
  }
  return out;
}

TEST_F(AttentionTest, IsSoftmaxAttention) {
  for (const Case& c : kCases) {
    Sequence sequence(c, 5);
    const Floats out =
        same_bits_everywhere([&](Lane& lane) { return run_in_chunks(lane, c, sequence, {c.positions}); });
    EXPECT_TRUE(close(out, reference(c, to_double(sequence.q), to_double(sequence.k), to_double(sequence.v)), 1e-5))
        << c.heads << "/" << c.kv_heads << " heads of " << c.head_dim << ", window " << c.window;
  }
}

TEST_F(AttentionTest, ARowDoesNotDependOnTheChunkItComesIn) {
  for (const std::string& variant : variants_of_this_cpu()) {
    ASSERT_TRUE(select_variant(variant));
    for (const Case& c : kCases) {
      Lane lane(2);
      Sequence one_by_one(c, 9);
      const Floats expected = run_in_chunks(lane, c, one_by_one, {1});
      for (const std::vector<int>& chunks :
           std::vector<std::vector<int>>{{c.positions}, {2}, {7, 1, 13}, {16}, {31, 3}}) {
        Sequence sequence(c, 9);
        EXPECT_TRUE(bits_equal(run_in_chunks(lane, c, sequence, chunks), expected))
            << variant << ", head_dim " << c.head_dim << ", window " << c.window << ", chunks of " << chunks[0];
      }
    }
  }
}

TEST_F(AttentionTest, ASequenceDoesNotDependOnItsNeighbours) {
  const Case shared{6, 2, 32, 0, 0};
  std::vector<Case> cases;
  for (int positions : {1, 40, 0, 16, 75}) {
    cases.push_back(shared);
    cases.back().positions = positions;
  }
  const std::ptrdiff_t stride = shared.heads * shared.head_dim;
  Lane lane(3);
  std::vector<Sequence> sequences;
  for (std::size_t i = 0; i < cases.size(); ++i) sequences.emplace_back(cases[i], 20 + static_cast<std::uint32_t>(i));
  std::vector<Floats> together;
  std::vector<AttentionRows> calls;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    sequences[i].write(lane, cases[i], 0, cases[i].positions);
    together.emplace_back(sequences[i].q.size());
    calls.push_back(
        {sequences[i].q.data(), together[i].data(), cases[i].positions, 0, sequences[i].const_blocks.data()});
  }
  attention(lane, shape_of(shared), calls, stride, stride);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    Sequence alone(cases[i], 20 + static_cast<std::uint32_t>(i));
    EXPECT_TRUE(bits_equal(run_in_chunks(lane, cases[i], alone, {100}), together[i]));
  }
}

TEST_F(AttentionTest, ExtremeScoresGiveTheValueOfTheWinner) {
  const Case c{1, 1, 16, 0, 30};
  Sequence sequence(c, 3);
  for (float& x : sequence.q) x = 100;
  for (int p = 0; p < c.positions; ++p) std::fill_n(&sequence.k[p * 16], 16, p == 11 ? 100.0f : -100.0f);
  Lane lane(1);
  const Floats out = run_in_chunks(lane, c, sequence, {30});
  for (int p = 11; p < c.positions; ++p) {
    for (int d = 0; d < 16; ++d) EXPECT_EQ(out[p * 16 + d], sequence.v[11 * 16 + d]);
  }
}

struct Gradients {
  Floats dq, dk, dv;
};

Gradients run_backward(Lane& lane, const Case& c, const Sequence& s, const Floats& out, const Floats& dout) {
  Gradients g{Floats(s.q.size(), kUntouched), Floats(s.k.size(), kUntouched), Floats(s.v.size(), kUntouched)};
  const AttentionBackwardRows rows{c.positions, s.q.data(),  s.k.data(),  s.v.data(), out.data(),
                                   dout.data(), g.dq.data(), g.dk.data(), g.dv.data()};
  AttentionBackwardStrides strides;
  strides.q = strides.out = strides.dq = c.heads * c.head_dim;
  strides.kv = strides.dkv = c.kv_heads * c.head_dim;
  attention_backward(lane, shape_of(c), {&rows, 1}, strides, nullptr);
  return g;
}

TEST_F(AttentionTest, BackwardIsTheDerivativeOfTheForward) {
  for (const Case& c : kCases) {
    Sequence s(c, 5);
    Lane lane(2);
    const Floats out = run_in_chunks(lane, c, s, {c.positions});
    const Floats dout = random_floats(out.size(), 77);
    const Floats all = same_bits_everywhere([&](Lane& l) {
      const Gradients g = run_backward(l, c, s, out, dout);
      Floats joined = g.dq;
      joined.insert(joined.end(), g.dk.begin(), g.dk.end());
      joined.insert(joined.end(), g.dv.begin(), g.dv.end());
      return joined;
    });
    // Central differences of sum(out * dout) in double precision, at a spread of inputs.
    std::vector<double> inputs[3] = {to_double(s.q), to_double(s.k), to_double(s.v)};
    std::size_t offset = 0;
    for (auto& input : inputs) {
      const std::size_t step = std::max<std::size_t>(1, input.size() / 37);
      for (std::size_t i = 0; i < input.size(); i += step) {
        const double saved = input[i];
        const auto value_at = [&](double x) {
          input[i] = x;
          const std::vector<double> o = reference(c, inputs[0], inputs[1], inputs[2]);
          double value = 0;
          for (std::size_t j = 0; j < o.size(); ++j) value += o[j] * static_cast<double>(dout[j]);
          return value;
        };
        const double h = 1e-5;
        const double expected = (value_at(saved + h) - value_at(saved - h)) / (2 * h);
        input[i] = saved;
        ASSERT_NEAR(all[offset + i], expected, 2e-5 * (1 + std::abs(expected)))
            << "input " << (&input - inputs) << " at " << i << ", head_dim " << c.head_dim << ", window " << c.window;
      }
      offset += input.size();
    }
  }
}

}  // namespace
}  // namespace jigsaw::kernels
