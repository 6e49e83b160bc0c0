#include "tests/workers/trainer/tiny_models.h"

#include <cstdint>
#include <fstream>
#include <sstream>

#include "core/check.h"
#include "workers/trainer/loss_batch.h"

namespace jigsaw {
namespace {

std::uint32_t fnv1a(const std::string& text) {
  std::uint32_t value = 2166136261u;
  for (const char letter : text) value = (value ^ static_cast<unsigned char>(letter)) * 16777619u;
  return value;
}

}  // namespace

std::vector<double> hashed_uniform(const std::string& name, std::size_t count) {
  std::vector<double> values;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t x = static_cast<std::uint32_t>(i) * 2654435761u + fnv1a(name);
    for (int round = 0; round < 2; ++round) x = (x ^ (x >> 16)) * 0x45D9F3Bu;
    x ^= x >> 16;
    values.push_back(x * 0x1p-32 - 0.5);
  }
  return values;
}

ModelConfig tiny_config(std::string_view name) {
  ModelConfig config;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.max_positions = 64;
  if (name == "llama") {
    config.family = "llama";
    config.hidden_size = 24;
    config.intermediate_size = 40;
    config.head_dim = 6;
    config.vocab_size = 37;
    return config;
  }
  CHECK(name == "qwen3_tied");
  config.family = "qwen3";
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.head_dim = 8;
  config.vocab_size = 40;
  config.rms_norm_eps = 1e-6f;
  config.rope.theta = 1e6;
  config.tied_embeddings = true;
  config.qk_norm = true;
  return config;
}

std::unique_ptr<PolicyWeights> tiny_model(std::string_view name) {
  auto weights = std::make_unique<PolicyWeights>(tiny_config(name));
  fill_flat(weights->layout(), weights->mutable_floats(),
            [](const std::string& hf_name, std::size_t rows, std::size_t cols) {
              std::vector<float> values;
              for (const double u : hashed_uniform(hf_name, rows * std::max<std::size_t>(cols, 1))) {
                values.push_back(static_cast<float>(cols == 0 && !hf_name.ends_with("bias") ? 1 + 0.4 * u : 0.8 * u));
              }
              return values;
            });
  return weights;
}

std::size_t flat_index(const ParameterLayout& layout, const std::string& hf_name, int row, int col) {
  for (const Parameter& parameter : layout.parameters()) {
    for (const ParameterPart& part : parameter.parts) {
      if (part.hf_name != hf_name) continue;
      CHECK(row < part.num_rows);
      const int n = part.row_begin + row;
      if (!parameter.is_matrix()) return parameter.offset + static_cast<std::size_t>(n);
      return parameter.offset + static_cast<std::size_t>((n / 16) * parameter.cols * 16 + col * 16 + n % 16);
    }
  }
  CHECK_FAILED("no tensor " + hf_name);
}

nlohmann::json read_golden(const std::string& file) {
  std::ifstream stream(JIGSAW_SOURCE_DIR "/tests/workers/trainer/golden/" + file);
  return nlohmann::json::parse(stream);
}

std::vector<TrainingSample> golden_batch(const nlohmann::json& lines) {
  std::stringstream text;
  for (const auto& line : lines) text << line.dump() << "\n";
  Result<std::vector<TrainingSample>> samples = read_loss_batch(text, "golden");
  CHECK_MSG(samples.ok(), samples.error().message());
  return *samples;
}

}  // namespace jigsaw
