#include "tests/rollout/models/model_file_testing.h"

#include <stdlib.h>

#include <fstream>
#include <sstream>

#include "core/check.h"

namespace jigsaw::testing {

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "jigsaw-models-XXXXXX").string();
  CHECK(::mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path golden_file(const std::string& name) {
  return std::filesystem::path(JIGSAW_SOURCE_DIR) / "tests/rollout/models/golden/files" / name;
}

std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  CHECK_MSG(file.good(), path.string());
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

void write_bytes(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  CHECK_MSG(file.good(), path.string());
}

ModelConfig tiny_config(const std::string& family, bool tied) {
  ModelConfig config;
  config.family = family;
  config.hidden_size = 20;
  config.intermediate_size = 37;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 6;
  config.vocab_size = 51;
  config.max_positions = 128;
  config.rms_norm_eps = 1e-5f;
  config.tied_embeddings = tied;
  config.qkv_bias = family == "qwen2";
  config.qk_norm = family == "qwen3";
  config.sliding_window = family == "llama" ? 0 : 9;
  config.eos_tokens = tied ? std::vector<int>{5} : std::vector<int>{5, 7};
  config.bos_token = tied ? 1 : -1;
  if (family == "llama" && tied) {
    config.rope = {.kind = RopeConfig::Kind::kLinear, .theta = 30000.0, .factor = 2.5};
  } else if (family == "llama") {
    config.rope = {.kind = RopeConfig::Kind::kLlama3,
                   .theta = 500000.0,
                   .factor = 4.0,
                   .low_freq_factor = 1.5,
                   .high_freq_factor = 5.0,
                   .original_max_positions = 64};
  }
  return config;
}

std::unique_ptr<PolicyWeights> tiny_model(const std::string& family, bool tied, std::uint64_t seed) {
  auto weights = std::make_unique<PolicyWeights>(tiny_config(family, tied));
  initialize_weights(*weights, seed);
  // Norms and biases other than their initial 1 and 0, so that a swapped vector shows.
  for (const Parameter& parameter : weights->layout().parameters()) {
    if (parameter.is_matrix()) continue;
    float* values = weights->mutable_floats().data() + parameter.offset;
    for (int i = 0; i < parameter.rows; ++i) {
      values[i] += 0.25f * static_cast<float>(i) + static_cast<float>(parameter.offset % 977);
    }
  }
  return weights;
}

std::string safetensors_bytes(const std::string& header, std::string_view data) {
  return bytes_of<std::uint64_t>(header.size()) + header + std::string(data);
}

namespace {
std::string counted(std::string_view text) { return bytes_of<std::uint64_t>(text.size()) + std::string(text); }
std::size_t aligned(std::size_t size) { return (size + 31) / 32 * 32; }
}  // namespace

GgufBytes& GgufBytes::raw(std::string_view key, std::uint32_t type, std::string_view bytes) {
  keys_ += counted(key) + bytes_of(type) + std::string(bytes);
  ++num_keys_;
  return *this;
}

GgufBytes& GgufBytes::text(std::string_view key, std::string_view value) { return raw(key, 8, counted(value)); }
GgufBytes& GgufBytes::uint32(std::string_view key, std::uint32_t value) { return raw(key, 4, bytes_of(value)); }
GgufBytes& GgufBytes::float32(std::string_view key, float value) { return raw(key, 6, bytes_of(value)); }

GgufBytes& GgufBytes::tensor(std::string_view name, std::vector<std::uint64_t> shape, std::uint32_t type,
                             std::string_view bytes) {
  data_.resize(aligned(data_.size()), '\0');
  tensor_at(name, std::move(shape), type, data_.size());
  data_ += bytes;
  return *this;
}

GgufBytes& GgufBytes::tensor_at(std::string_view name, std::vector<std::uint64_t> shape, std::uint32_t type,
                                std::uint64_t offset) {
  tensors_ += counted(name) + bytes_of(static_cast<std::uint32_t>(shape.size()));
  for (const std::uint64_t extent : shape) tensors_ += bytes_of(extent);
  tensors_ += bytes_of(type) + bytes_of(offset);
  ++num_tensors_;
  return *this;
}

std::string GgufBytes::bytes() const {
  std::string all = "GGUF" + bytes_of(version_) + bytes_of(num_tensors_) + bytes_of(num_keys_) + keys_ + tensors_;
  all.resize(aligned(all.size()), '\0');
  return all + data_;
}

GgufBytes smallest_gguf() {
  constexpr std::uint32_t kF32 = 0;
  GgufBytes file;
  file.text("general.architecture", "llama");
  file.uint32("llama.block_count", 1).uint32("llama.context_length", 8).uint32("llama.embedding_length", 2);
  file.uint32("llama.feed_forward_length", 1).uint32("llama.attention.head_count", 1);
  file.float32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  const auto add = [&](const char* name, std::vector<std::uint64_t> shape) {
    std::uint64_t count = 1;
    for (const std::uint64_t extent : shape) count *= extent;
    std::string bytes;
    for (std::uint64_t i = 0; i < count; ++i) bytes += bytes_of(0.25f);
    file.tensor(name, std::move(shape), kF32, bytes);
  };
  add("token_embd.weight", {2, 3});
  add("output_norm.weight", {2});
  for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
    add((std::string("blk.0.") + name + ".weight").c_str(), {2, 2});
  }
  add("blk.0.attn_norm.weight", {2});
  add("blk.0.ffn_norm.weight", {2});
  add("blk.0.ffn_gate.weight", {2, 1});
  add("blk.0.ffn_up.weight", {2, 1});
  add("blk.0.ffn_down.weight", {1, 2});
  return file;
}

}  // namespace jigsaw::testing
