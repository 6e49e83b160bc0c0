#include "rollout/models/parameter_layout.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "tests/rollout/models/model_file_testing.h"

namespace jigsaw {
namespace {

using testing::tiny_config;

TEST(ParameterLayoutTest, CountsTheNumbersOfSmolLm2) {
  ModelConfig config = tiny_config("llama", true);
  config.hidden_size = 576;
  config.intermediate_size = 1536;
  config.num_layers = 30;
  config.num_heads = 9;
  config.num_kv_heads = 3;
  config.head_dim = 64;
  config.vocab_size = 49152;
  EXPECT_EQ(ParameterLayout(config).num_parameters(), 134515008u);  // as its card says
}

TEST(ParameterLayoutTest, ParametersFollowEachOtherAlignedAndNamedOnce) {
  for (const char* family : {"llama", "qwen2", "qwen3"}) {
    const ParameterLayout layout(tiny_config(family, false));
    std::size_t expected = 0;
    std::set<std::string> names;
    for (const Parameter& parameter : layout.parameters()) {
      EXPECT_EQ(parameter.offset, expected) << parameter.name;
      EXPECT_EQ(parameter.offset % 16, 0u) << parameter.name;
      EXPECT_EQ(parameter.weight_decay, parameter.is_matrix()) << parameter.name;
      int rows = 0;
      for (const ParameterPart& part : parameter.parts) {
        EXPECT_EQ(part.row_begin, rows);
        rows += part.num_rows;
        EXPECT_TRUE(names.insert(part.hf_name).second) << part.hf_name;
      }
      EXPECT_EQ(rows, parameter.rows) << parameter.name;
      expected = parameter.offset + parameter.size;
    }
    EXPECT_EQ(layout.num_floats(), expected);
  }
}

TEST(ParameterLayoutTest, FamiliesHaveTheirParameters) {
  const ParameterLayout llama(tiny_config("llama", true)), qwen2(tiny_config("qwen2", false)),
      qwen3(tiny_config("qwen3", false));
  EXPECT_EQ(llama.output(), llama.embedding());
  EXPECT_EQ(llama.layer(0).qkv_bias, -1);
  EXPECT_EQ(llama.layer(0).q_norm, -1);
  EXPECT_NE(qwen2.output(), qwen2.embedding());
  EXPECT_EQ(qwen2.parameter(qwen2.output()).parts.front().hf_name, "lm_head.weight");
  EXPECT_EQ(qwen2.parameter(qwen2.layer(1).qkv_bias).rows, 4 * 6 + 2 * 2 * 6);
  EXPECT_EQ(qwen3.parameter(qwen3.layer(1).k_norm).rows, 6);
  EXPECT_EQ(qwen3.parameter(qwen3.layer(1).qkv).name, "layers.1.qkv");
}

TEST(ParameterLayoutTest, PanelsHoldElementsWhereTheHeaderSays) {
  const ParameterLayout layout(tiny_config("llama", false));
  const Parameter& qkv = layout.parameter(layout.layer(0).qkv);  // 24 + 12 + 12 rows: parts begin within panels
  std::vector<float> panels(qkv.size, 0.0f);
  for (std::size_t p = 0; p < qkv.parts.size(); ++p) {
    const ParameterPart& part = qkv.parts[p];
    std::vector<float> rows(static_cast<std::size_t>(part.num_rows * qkv.cols));
    std::iota(rows.begin(), rows.end(), static_cast<float>(1000 * (p + 1)));
    pack_rows(qkv, part, rows, panels.data());
    for (int row = 0; row < part.num_rows; ++row) {
      for (int k = 0; k < qkv.cols; ++k) {
        const int n = part.row_begin + row;
        ASSERT_EQ(panels[static_cast<std::size_t>(n / 16 * qkv.cols * 16 + k * 16 + n % 16)],
                  rows[static_cast<std::size_t>(row * qkv.cols + k)]);
      }
    }
    std::vector<float> back(rows.size());
    unpack_rows(qkv, part, panels.data(), back);
    EXPECT_EQ(back, rows);
  }
}

TEST(ParameterLayoutTest, PackingLeavesPaddingAlone) {
  const ParameterLayout layout(tiny_config("llama", false));
  const Parameter& embedding = layout.parameter(layout.embedding());  // 51 rows: 13 rows of padding
  std::vector<float> panels(embedding.size, -7.0f);
  std::vector<float> rows(static_cast<std::size_t>(embedding.rows * embedding.cols), 1.0f);
  pack_rows(embedding, embedding.parts.front(), rows, panels.data());
  EXPECT_EQ(std::count(panels.begin(), panels.end(), -7.0f), 13 * embedding.cols);
}

}  // namespace
}  // namespace jigsaw
