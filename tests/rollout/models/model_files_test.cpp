#include "rollout/models/model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "rollout/models/hf_config.h"
#include "rollout/models/safetensors_file.h"
#include "tests/rollout/models/model_file_testing.h"

namespace jigsaw {
namespace {

using nlohmann::json;
using testing::bytes_of;
using testing::GgufBytes;
using testing::golden_file;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::read_bytes;
using testing::safetensors_bytes;
using testing::TemporaryFolder;
using testing::tiny_config;
using testing::tiny_model;
using testing::write_bytes;

// Tensors of a safetensors file, to be changed and written again.
struct Tensor {
  std::string type;
  std::vector<std::int64_t> shape;
  std::string bytes;
};
using Tensors = std::map<std::string, Tensor>;

Tensors read_tensors(const std::filesystem::path& path) {
  const auto file = SafetensorsFile::open(path);
  EXPECT_TRUE(file) << file.error().message();
  Tensors tensors;
  for (const SafetensorsEntry& entry : file->entries()) {
    const auto bytes = file->bytes(entry);
    tensors[entry.name] = {entry.type, entry.shape, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}};
  }
  return tensors;
}

void write_tensors(const std::filesystem::path& path, const Tensors& tensors) {
  json header = json::object();
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const std::size_t begin = data.size();
    data += tensor.bytes;
    header[name] = {{"dtype", tensor.type}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  write_bytes(path, safetensors_bytes(header.dump(), data));
}

std::string load_error(const std::filesystem::path& path) {
  auto model = load_model(path);
  return model ? "no error" : model.error().message();
}

class ModelFilesTest : public ::testing::Test {
 protected:
  const std::filesystem::path& folder() const { return folder_.path(); }
  std::filesystem::path weights_path() const { return folder() / "model.safetensors"; }
  // A saved llama, its tensors changed by `change`; the message that loading it gives.
  template <typename Change>
  std::string error_after(Change change, bool tied = false) {
    EXPECT_TRUE(save_hf_model(*tiny_model("llama", tied), folder()));
    Tensors tensors = read_tensors(weights_path());
    change(tensors);
    write_tensors(weights_path(), tensors);
    return load_error(folder());
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(ModelFilesTest, SavedModelsLoadEqual) {
  for (const char* family : {"llama", "mistral", "qwen2", "qwen3"}) {
    for (const bool tied : {false, true}) {
      const auto weights = tiny_model(family, tied, 7);
      ASSERT_TRUE(save_hf_model(*weights, folder()));
      const auto loaded = load_model(folder());
      ASSERT_TRUE(loaded) << loaded.error().message();
      EXPECT_EQ((*loaded)->hash(), weights->hash()) << family;
      EXPECT_EQ((*loaded)->config(), weights->config()) << family;
      EXPECT_EQ(*read_model_config(folder()), weights->config()) << family;
    }
  }
}

TEST_F(ModelFilesTest, SavedTensorsStandUnderTheirHuggingFaceNames) {
  const auto weights = tiny_model("qwen2", false);
  ASSERT_TRUE(save_hf_model(*weights, folder()));
  const Tensors tensors = read_tensors(weights_path());
  EXPECT_EQ(tensors.size(), 3u + 2 * 12);
  const Tensor& k = tensors.at("model.layers.1.self_attn.k_proj.weight");
  EXPECT_EQ(k.type, "F32");
  EXPECT_EQ(k.shape, (std::vector<std::int64_t>{12, 20}));
  // Row 3, column 5 of k is row 24 + 3 of qkv.
  const Parameter& qkv = weights->layout().parameter(weights->layout().layer(1).qkv);
  const float wanted = weights->floats()[qkv.offset + 27 / 16 * 20 * 16 + 5 * 16 + 27 % 16];
  EXPECT_EQ(k.bytes.substr((3 * 20 + 5) * 4, 4), bytes_of(wanted));
  EXPECT_EQ(tensors.at("model.layers.0.self_attn.v_proj.bias").shape, (std::vector<std::int64_t>{12}));
}

TEST_F(ModelFilesTest, SavingReplacesFilesWholeOrNotAtAll) {
  ASSERT_TRUE(save_hf_model(*tiny_model("llama", false, 1), folder()));
  const auto second = tiny_model("llama", false, 2);
  ASSERT_TRUE(save_hf_model(*second, folder()));
  EXPECT_EQ((*load_model(folder()))->hash(), second->hash());
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder())) names.push_back(entry.path().filename());
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("config.json", "model.safetensors"));

  const Status status = save_hf_model(*second, folder() / "missing");
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message(), HasSubstr("missing/model.safetensors: cannot be written"));
}

TEST_F(ModelFilesTest, SavingRefusesAConfigThatNoFileCouldTell) {
  ModelConfig config = tiny_config("llama", false);
  config.qkv_bias = true;
  const Status status = save_hf_model(PolicyWeights(config), folder());
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message(), HasSubstr("qkv_bias: must be false for the family llama"));
}

TEST_F(ModelFilesTest, GgufFilesEqualTheirHuggingFaceFolders) {
  for (const std::string name : {"llama_mixed", "qwen2_f16", "qwen3_q8"}) {
    const auto gguf = load_model(golden_file(name + ".gguf"));
    const auto hf = load_model(golden_file(name));
    ASSERT_TRUE(gguf) << gguf.error().message();
    ASSERT_TRUE(hf) << hf.error().message();
    EXPECT_EQ((*gguf)->hash(), (*hf)->hash()) << name;
    EXPECT_EQ((*gguf)->config(), (*hf)->config()) << name;
  }
}

TEST_F(ModelFilesTest, HalfPrecisionIsWidened) {
  const auto weights = tiny_model("llama", false);
  ASSERT_TRUE(save_hf_model(*weights, folder()));
  for (const char* type : {"BF16", "F16"}) {
    Tensors tensors = read_tensors(weights_path());
    PolicyWeights expected(weights->config());
    for (auto& [name, tensor] : tensors) {
      std::string halves;
      std::vector<float> rounded;
      for (std::size_t i = 0; i < tensor.bytes.size(); i += 4) {
        float value = 0;
        std::memcpy(&value, tensor.bytes.data() + i, 4);
        // Cut off the bits that the half type does not hold; F16 values here are normal numbers or zero.
        std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
        const bool bf16 = std::string_view(type) == "BF16";
        const int exponent = static_cast<int>(bits >> 23 & 255) - 127;
        if (bf16) {
          bits &= 0xFFFF0000u;
          halves += bytes_of(static_cast<std::uint16_t>(bits >> 16));
        } else {
          bits = exponent < -14 ? 0 : bits & 0xFFFFE000u;
          const std::uint32_t half =
              bits == 0
                  ? 0
                  : (bits >> 16 & 0x8000u) | static_cast<std::uint32_t>(exponent + 15) << 10 | (bits >> 13 & 1023u);
          halves += bytes_of(static_cast<std::uint16_t>(half));
        }
        rounded.push_back(std::bit_cast<float>(bits));
      }
      tensor.bytes = halves;
      tensor.type = type;
      for (const Parameter& parameter : expected.layout().parameters()) {
        for (const ParameterPart& part : parameter.parts) {
          if (part.hf_name == name)
            pack_rows(parameter, part, rounded, expected.mutable_floats().data() + parameter.offset);
        }
      }
    }
    TemporaryFolder half;
    write_tensors(half.path() / "model.safetensors", tensors);
    write_bytes(half.path() / "config.json", read_bytes(folder() / "config.json"));
    const auto loaded = load_model(half.path());
    ASSERT_TRUE(loaded) << loaded.error().message();
    EXPECT_EQ((*loaded)->hash(), expected.hash()) << type;
  }
}

class ShardedModelTest : public ModelFilesTest {
 protected:
  void SetUp() override {
    weights_ = tiny_model("qwen3", false);
    ASSERT_TRUE(save_hf_model(*weights_, folder()));
    const Tensors tensors = read_tensors(weights_path());
    std::filesystem::remove(weights_path());
    std::size_t i = 0;
    for (const auto& [name, tensor] : tensors) {
      const std::string file = "model-" + std::to_string(i++ % 3) + ".safetensors";
      shards_[file][name] = tensor;
      index_["weight_map"][name] = file;
    }
    write();
  }
  void write() {
    for (const auto& [file, tensors] : shards_) write_tensors(folder() / file, tensors);
    write_bytes(folder() / "model.safetensors.index.json", index_.dump());
  }

  std::unique_ptr<PolicyWeights> weights_;
  std::map<std::string, Tensors> shards_;
  json index_;
};

TEST_F(ShardedModelTest, ShardsMakeOneModel) {
  const auto loaded = load_model(folder());
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ((*loaded)->hash(), weights_->hash());
  EXPECT_EQ(list_tensors(folder())->size(), 3u + 2 * 11);
}

TEST_F(ShardedModelTest, AMissingShardIsNamed) {
  std::filesystem::remove(folder() / "model-1.safetensors");
  EXPECT_THAT(load_error(folder()), HasSubstr("model-1.safetensors: cannot open"));
}

TEST_F(ShardedModelTest, AnIndexedTensorMustBeInItsShard) {
  auto node = shards_["model-0.safetensors"].extract("lm_head.weight");
  if (node.empty()) node = shards_["model-1.safetensors"].extract("lm_head.weight");
  if (node.empty()) node = shards_["model-2.safetensors"].extract("lm_head.weight");
  ASSERT_FALSE(node.empty());
  write();
  EXPECT_THAT(load_error(folder()), HasSubstr("tensor lm_head.weight is missing, which model.safetensors.index.json"));
}

TEST_F(ShardedModelTest, ATensorInTwoShardsIsRefused) {
  shards_["model-2.safetensors"].insert(*shards_["model-0.safetensors"].begin());
  write();
  EXPECT_THAT(load_error(folder()), HasSubstr("stands in both"));
}

TEST_F(ShardedModelTest, TheIndexMustNotLeaveItsFolder) {
  for (const std::string file : {"../model-0.safetensors", "/etc/passwd", "..", ""}) {
    index_["weight_map"]["lm_head.weight"] = file;
    write();
    EXPECT_THAT(load_error(folder()), HasSubstr("tensor lm_head.weight is not in a file of this folder")) << file;
  }
  index_["weight_map"] = json::array();
  write();
  EXPECT_THAT(load_error(folder()), HasSubstr("weight_map: must map"));
}

TEST_F(ModelFilesTest, NamesWithoutPrefixAreTakenWhereNoneHasIt) {
  const auto strip = [](Tensors& tensors) {
    Tensors stripped;
    for (const auto& [name, tensor] : tensors) stripped[name.starts_with("model.") ? name.substr(6) : name] = tensor;
    tensors = stripped;
  };
  EXPECT_EQ(error_after(strip), "no error");
  EXPECT_THAT(error_after([](Tensors& tensors) {
                auto node = tensors.extract("model.norm.weight");
                node.key() = "norm.weight";
                tensors.insert(std::move(node));
              }),
              HasSubstr("missing tensors that the configuration asks for: model.norm.weight;"));
}

TEST_F(ModelFilesTest, OldRotaryTensorsAreIgnored) {
  EXPECT_EQ(error_after([](Tensors& tensors) {
              tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {"F32", {1}, bytes_of(1.0f)};
            }),
            "no error");
}

TEST_F(ModelFilesTest, ATiedModelMayRepeatItsEmbeddingOnly) {
  const auto repeat = [](Tensors& tensors) { tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]; };
  EXPECT_EQ(error_after(repeat, true), "no error");
  EXPECT_THAT(error_after(
                  [&](Tensors& tensors) {
                    repeat(tensors);
                    tensors["lm_head.weight"].bytes[0] ^= 1;
                  },
                  true),
              HasSubstr("tie_word_embeddings is true, yet lm_head.weight differs"));
}

TEST_F(ModelFilesTest, ProblemsWithTensorsAreNamed) {
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  EXPECT_THAT(error_after([&](Tensors& tensors) { tensors.erase(name); }), HasSubstr("missing tensors that the "
                                                                                     "configuration asks for: " +
                                                                                     name));
  EXPECT_THAT(
      error_after([&](Tensors& tensors) { std::swap(tensors[name].shape[0], tensors[name].shape[1]); }),
      HasSubstr("model.safetensors: tensor " + name + " has shape [20, 37], but the configuration asks for [37, 20]"));
  EXPECT_THAT(error_after([&](Tensors& tensors) {
                tensors["extra"] = {"U8", {1}, "x"};
              }),
              HasSubstr("does not have: extra;"));
  EXPECT_THAT(error_after([&](Tensors& tensors) {
                tensors[name].type = "F64";
                tensors[name].bytes += tensors[name].bytes;
              }),
              HasSubstr("tensor " + name + " has type F64; supported are F32, F16, BF16"));
}

TEST_F(ModelFilesTest, AHugeConfigurationWithSmallFilesIsRefusedAtOnce) {
  ASSERT_TRUE(save_hf_model(*tiny_model("llama", false), folder()));
  json config = json::parse(read_bytes(folder() / "config.json"));
  config["hidden_size"] = 1 << 20;
  config["intermediate_size"] = 1 << 20;
  config["vocab_size"] = 1 << 24;
  config["num_hidden_layers"] = 4096;
  write_bytes(folder() / "config.json", config.dump());
  EXPECT_THAT(load_error(folder()),
              HasSubstr("has shape [51, 20], but the configuration asks for [16777216, 1048576]"));
}

TEST_F(ModelFilesTest, WhatIsNoModelIsExplained) {
  EXPECT_THAT(load_error(folder() / "nothing"), HasSubstr("no such model"));
  EXPECT_THAT(load_error(folder()), HasSubstr("config.json: cannot open"));
  ASSERT_TRUE(save_hf_model(*tiny_model("llama", false), folder()));
  EXPECT_THAT(load_error(weights_path()), HasSubstr("give the folder"));
  std::filesystem::remove(weights_path());
  EXPECT_THAT(load_error(folder()), HasSubstr("neither model.safetensors nor model.safetensors.index.json"));
  write_bytes(folder() / "pytorch_model.bin", "");
  EXPECT_THAT(load_error(folder()), HasSubstr("convert pytorch_model.bin"));
  write_bytes(folder() / "x.gguf", "not that");
  EXPECT_THAT(load_error(folder() / "x.gguf"), HasSubstr("not a GGUF file"));
}

TEST_F(ModelFilesTest, TensorsAreListedAsStored) {
  const auto tensors = list_tensors(golden_file("llama_mixed.gguf"));
  ASSERT_TRUE(tensors) << tensors.error().message();
  EXPECT_EQ(tensors->size(), 12u);
  EXPECT_EQ(tensors->front().name, "token_embd.weight");
  EXPECT_EQ(tensors->front().type, "Q8_0");
  EXPECT_EQ(tensors->front().shape, (std::vector<std::int64_t>{20, 32}));
  EXPECT_EQ(tensors->front().num_bytes, 20u * 34);
  EXPECT_EQ(tensors->back().name, "rope_freqs.weight");
}

class GgufModelTest : public ModelFilesTest {
 protected:
  std::string error_of(const GgufBytes& file) {
    write_bytes(folder() / "m.gguf", file.bytes());
    return load_error(folder() / "m.gguf");
  }
};

TEST_F(GgufModelTest, TheSmallestFileLoads) {
  ASSERT_EQ(error_of(testing::smallest_gguf()), "no error");
  const auto model = load_model(folder() / "m.gguf");
  EXPECT_TRUE((*model)->config().tied_embeddings);
  EXPECT_EQ((*model)->config().vocab_size, 3);
  EXPECT_EQ((*model)->config().head_dim, 2);
  EXPECT_EQ((*model)->layout().num_parameters(), 6u + 2 + 16 + 4 + 6);
}

TEST_F(GgufModelTest, RefusesWhatItCannotCompute) {
  EXPECT_THAT(error_of(GgufBytes().text("general.architecture", "gemma2")),
              HasSubstr("unknown GGUF architecture 'gemma2'"));
  EXPECT_THAT(error_of(GgufBytes()), HasSubstr("general.architecture is missing"));
  EXPECT_THAT(error_of(GgufBytes().text("general.architecture", "llama")),
              HasSubstr("llama.embedding_length is missing"));
  EXPECT_THAT(error_of(testing::smallest_gguf().text("llama.rope.scaling.type", "yarn")),
              HasSubstr("llama.rope.scaling.type: \"yarn\" is not supported"));
  EXPECT_THAT(error_of(testing::smallest_gguf().uint32("llama.expert_count", 8)), HasSubstr("mixtures of experts"));
  EXPECT_THAT(error_of(testing::smallest_gguf().uint32("llama.rope.dimension_count", 1)),
              HasSubstr("rope.dimension_count: must equal"));
  EXPECT_THAT(error_of(testing::smallest_gguf().uint32("llama.attention.key_length", 4)),
              HasSubstr("has shape [2, 2], but the configuration asks for [4, 2]"));
  EXPECT_THAT(error_of(testing::smallest_gguf().uint32("llama.attention.value_length", 4)),
              HasSubstr("attention.value_length: must equal"));
  EXPECT_THAT(error_of(testing::smallest_gguf().uint32("split.count", 2)), HasSubstr("merge them"));
  EXPECT_THAT(error_of(testing::smallest_gguf().uint32("llama.attention.head_count_kv", 0)), HasSubstr("num_kv_heads"));
}

TEST_F(GgufModelTest, ProblemsWithTensorsAreNamed) {
  EXPECT_THAT(error_of(testing::smallest_gguf().tensor("blk.1.ffn_up.weight", {2, 1}, 0, std::string(8, '\0'))),
              HasSubstr("does not have: blk.1.ffn_up.weight"));
  EXPECT_THAT(error_of(testing::smallest_gguf().tensor("blk.0.ffn_exps.weight", {2, 1}, 0, std::string(8, '\0'))),
              HasSubstr("does not have: blk.0.ffn_exps.weight"));
  EXPECT_THAT(error_of(testing::smallest_gguf().tensor("rope_freqs.weight", {2}, 0, std::string(8, '\0'))),
              HasSubstr("rope_freqs.weight must be F32 with one value a pair"));
  EXPECT_THAT(error_of(testing::smallest_gguf().tensor("output.weight", {2, 3}, 28, std::string(48, '\0'))),
              HasSubstr("tensor output.weight has type F64"));
}

}  // namespace
}  // namespace jigsaw
