#include "rollout/models/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rollout/models/rope_table.h"
#include "tests/rollout/models/model_file_testing.h"

namespace jigsaw {
namespace {

using nlohmann::json;
using testing::golden_file;
using ::testing::HasSubstr;
using testing::read_bytes;
using testing::TemporaryFolder;
using testing::tiny_config;
using testing::write_bytes;

class HfConfigTest : public ::testing::Test {
 protected:
  Result<ModelConfig> read(const json& config, const json& generation = nullptr) {
    write_bytes(folder_.path() / "config.json", config.dump());
    std::filesystem::remove(folder_.path() / "generation_config.json");
    if (!generation.is_null()) write_bytes(folder_.path() / "generation_config.json", generation.dump());
    return read_hf_config(folder_.path());
  }
  // Of a valid llama config with `changes` on top.
  std::string error_with(const json& changes) {
    json config = to_hf_config(tiny_config("llama", false));
    config.update(changes);
    auto read_config = read(config);
    return read_config ? "no error" : read_config.error().message();
  }
  std::string error_of_text(const std::string& text) {
    write_bytes(folder_.path() / "config.json", text);
    auto read_config = read_hf_config(folder_.path());
    return read_config ? "no error" : read_config.error().message();
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(HfConfigTest, ReadsWhatTransformersReads) {
  const json cases = json::parse(read_bytes(golden_file("hf_configs.json")));
  ASSERT_GE(cases.size(), 16u);
  for (const json& golden : cases) {
    SCOPED_TRACE(golden["name"].get<std::string>());
    const json& expected = golden["expected"];
    const auto config = read(golden["config"], golden["generation"]);
    ASSERT_TRUE(config) << config.error().message();
    EXPECT_EQ(config->head_dim, expected["head_dim"]);
    EXPECT_EQ(config->num_kv_heads, expected["num_kv_heads"]);
    EXPECT_EQ(config->max_positions, expected["max_positions"]);
    EXPECT_EQ(config->rms_norm_eps, expected["rms_norm_eps"].get<float>());
    EXPECT_EQ(config->tied_embeddings, expected["tied"]);
    EXPECT_EQ(json(config->eos_tokens), expected["eos_tokens"]);
    EXPECT_EQ(config->bos_token, expected["bos_token"]);
    for (int layer = 0; layer < config->num_layers; ++layer) {
      EXPECT_EQ(config->sliding_window, expected["windows"][static_cast<std::size_t>(layer)]) << layer;
    }
    const auto frequencies = rope_frequencies(config->rope, config->head_dim);
    ASSERT_EQ(frequencies.size(), expected["frequencies"].size());
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
      const double wanted = expected["frequencies"][i];
      EXPECT_NEAR(frequencies[i], wanted, 1e-6 * wanted) << i;
    }
  }
}

TEST_F(HfConfigTest, WrittenConfigsReadBackEqual) {
  for (const char* family : {"llama", "mistral", "qwen2", "qwen3"}) {
    for (const bool tied : {false, true}) {
      ModelConfig config = tiny_config(family, tied);
      const auto read_config = read(to_hf_config(config));
      ASSERT_TRUE(read_config) << read_config.error().message();
      EXPECT_EQ(*read_config, config) << family;
      config.sliding_window = 0;
      config.eos_tokens.clear();
      EXPECT_EQ(*read(to_hf_config(config)), config) << family;
    }
  }
}

TEST_F(HfConfigTest, RefusesWhatItCannotCompute) {
  EXPECT_THAT(error_with({{"hidden_act", "gelu"}}), HasSubstr("hidden_act: \"gelu\" is not supported"));
  EXPECT_THAT(error_with({{"attention_bias", true}}), HasSubstr("attention_bias"));
  EXPECT_THAT(error_with({{"mlp_bias", true}}), HasSubstr("mlp_bias"));
  EXPECT_THAT(error_with({{"partial_rotary_factor", 0.5}}), HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(error_with({{"quantization_config", {{"bits", 4}}}}), HasSubstr("quantization_config"));
  EXPECT_THAT(error_with({{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}}}),
              HasSubstr("rope_type: \"yarn\" is not supported; known are default, linear, llama3"));
  EXPECT_THAT(error_with({{"rope_scaling", {{"full_attention", json::object()}}}}), HasSubstr("per layer type"));
  EXPECT_THAT(error_with({{"model_type", "lama"}}), HasSubstr("did you mean 'llama'"));
  EXPECT_THAT(error_with({{"model_type", "qwen3"},
                          {"use_sliding_window", true},
                          {"sliding_window", 4},
                          {"layer_types", {"sliding_attention", "full_attention"}}}),
              HasSubstr("use_sliding_window: only 1 of 2 layers"));
  EXPECT_THAT(error_with({{"model_type", "qwen2"}, {"use_sliding_window", true}, {"max_window_layers", 1}}),
              HasSubstr("use_sliding_window: only 1 of 2 layers"));
  EXPECT_THAT(
      error_with({{"model_type", "qwen2"}, {"use_sliding_window", true}, {"layer_types", {"linear", "linear"}}}),
      HasSubstr("layer_types"));
}

TEST_F(HfConfigTest, NamesTheFieldThatIsWrong) {
  EXPECT_THAT(error_with({{"hidden_size", nullptr}}), HasSubstr("config.json: hidden_size: is missing"));
  EXPECT_THAT(error_with({{"hidden_size", "20"}}), HasSubstr("hidden_size: \"20\" is not an integer"));
  EXPECT_THAT(error_with({{"hidden_size", 20.5}}), HasSubstr("hidden_size: 20.5 is not an integer"));
  EXPECT_THAT(error_with({{"hidden_size", 1000000000000}}), HasSubstr("hidden_size: 1000000000000 is not in 1.."));
  EXPECT_THAT(error_with({{"hidden_size", ~std::uint64_t{0}}}), HasSubstr("hidden_size"));
  EXPECT_THAT(error_with({{"hidden_size", 2000000000}}), HasSubstr("hidden_size: 2000000000 is not in 1..1048576"));
  EXPECT_THAT(error_with({{"num_hidden_layers", 1000000000}}), HasSubstr("num_layers"));
  EXPECT_THAT(error_with({{"num_attention_heads", 0}}), HasSubstr("num_attention_heads: 0 is not in 1.."));
  EXPECT_THAT(error_with({{"num_key_value_heads", 3}}), HasSubstr("num_kv_heads: 3 does not divide num_heads 4"));
  EXPECT_THAT(error_with({{"head_dim", 5}}), HasSubstr("head_dim: 5 is odd"));
  EXPECT_THAT(error_with({{"head_dim", nullptr}, {"num_attention_heads", 3}}), HasSubstr("no multiple of"));
  EXPECT_THAT(error_with({{"vocab_size", -1}}), HasSubstr("vocab_size: -1 is not in"));
  EXPECT_THAT(error_with({{"rms_norm_eps", -1.0}}), HasSubstr("rms_norm_eps"));
  EXPECT_THAT(error_with({{"rope_theta", 0}}), HasSubstr("rope_theta"));
  EXPECT_THAT(error_with({{"rope_scaling", {{"rope_type", "llama3"}, {"factor", 4.0}}}}),
              HasSubstr("rope_scaling: low_freq_factor: is missing"));
  EXPECT_THAT(error_with({{"rope_scaling", 3}}), HasSubstr("rope_scaling: is not an object"));
  EXPECT_THAT(error_with({{"tie_word_embeddings", "yes"}}), HasSubstr("tie_word_embeddings"));
  EXPECT_THAT(error_with({{"eos_token_id", "</s>"}}), HasSubstr("eos_token_id"));
  EXPECT_THAT(error_with({{"eos_token_id", {1, 1e9}}}), HasSubstr("eos_token_id"));
}

TEST_F(HfConfigTest, RefusesWhatIsNoJsonObject) {
  EXPECT_THAT(error_of_text(""), HasSubstr("config.json: is not valid JSON"));
  EXPECT_THAT(error_of_text("{\"model_type\": \"llama\""), HasSubstr("is not valid JSON"));
  EXPECT_THAT(error_of_text("[1]"), HasSubstr("holds no JSON object"));
  EXPECT_THAT(error_of_text("{}"), HasSubstr("model_type: is missing"));
  EXPECT_THAT(error_of_text(std::string(100000, '[')), HasSubstr("nests deeper"));
  EXPECT_THAT(error_of_text(std::string(2 << 20, ' ')), HasSubstr("more than the 1048576"));
  EXPECT_THAT(error_of_text("{\"model_type\": \"\xFF\xFE\"}"), HasSubstr("is not valid JSON"));
}

}  // namespace
}  // namespace jigsaw
