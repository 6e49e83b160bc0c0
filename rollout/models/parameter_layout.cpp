#include "rollout/models/parameter_layout.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/check.h"

namespace jigsaw {
namespace {

constexpr std::size_t round_up(std::size_t value) { return (value + kPanelWidth - 1) / kPanelWidth * kPanelWidth; }

// Builds the list of parameters in their order in the buffer.
class LayoutBuilder {
 public:
  // `parts`: HF names with their row counts, top to bottom. Returns the parameter's index.
  int add(std::string name, int cols, std::vector<std::pair<std::string, int>> parts) {
    Parameter parameter;
    parameter.name = std::move(name);
    parameter.cols = cols;
    for (auto& [hf_name, num_rows] : parts) {
      parameter.parts.push_back({std::move(hf_name), parameter.rows, num_rows});
      parameter.rows += num_rows;
    }
    const auto rows = round_up(static_cast<std::size_t>(parameter.rows));
    parameter.size = parameter.is_matrix() ? rows * static_cast<std::size_t>(cols) : rows;
    parameter.offset = num_floats_;
    parameter.weight_decay = parameter.is_matrix();
    num_floats_ += parameter.size;
    parameters_.push_back(std::move(parameter));
    return static_cast<int>(parameters_.size()) - 1;
  }
  int add_vector(std::string name, std::vector<std::pair<std::string, int>> parts) {
    return add(std::move(name), 0, std::move(parts));
  }

  std::vector<Parameter> take_parameters() { return std::move(parameters_); }
  std::size_t num_floats() const { return num_floats_; }

 private:
  std::vector<Parameter> parameters_;
  std::size_t num_floats_ = 0;
};

LayerParameters add_layer(LayoutBuilder& builder, const ModelConfig& config, int index) {
  const std::string ours = "layers." + std::to_string(index) + ".";
  const std::string hf = "model.layers." + std::to_string(index) + ".";
  const std::string attention = hf + "self_attn.", mlp = hf + "mlp.";
  const int hidden = config.hidden_size, q = config.q_size(), kv = config.kv_size();
  LayerParameters layer;
  layer.attention_norm = builder.add_vector(ours + "attention_norm", {{hf + "input_layernorm.weight", hidden}});
  layer.qkv = builder.add(
      ours + "qkv", hidden,
      {{attention + "q_proj.weight", q}, {attention + "k_proj.weight", kv}, {attention + "v_proj.weight", kv}});
  if (config.qkv_bias) {
    layer.qkv_bias = builder.add_vector(
        ours + "qkv_bias",
        {{attention + "q_proj.bias", q}, {attention + "k_proj.bias", kv}, {attention + "v_proj.bias", kv}});
  }
  if (config.qk_norm) {
    layer.q_norm = builder.add_vector(ours + "q_norm", {{attention + "q_norm.weight", config.head_dim}});
    layer.k_norm = builder.add_vector(ours + "k_norm", {{attention + "k_norm.weight", config.head_dim}});
  }
  layer.attention_out = builder.add(ours + "attention_out", q, {{attention + "o_proj.weight", hidden}});
  layer.mlp_norm = builder.add_vector(ours + "mlp_norm", {{hf + "post_attention_layernorm.weight", hidden}});
  layer.gate_up = builder.add(
      ours + "gate_up", hidden,
      {{mlp + "gate_proj.weight", config.intermediate_size}, {mlp + "up_proj.weight", config.intermediate_size}});
  layer.mlp_down = builder.add(ours + "mlp_down", config.intermediate_size, {{mlp + "down_proj.weight", hidden}});
  return layer;
}

// The rows of one panel that belong to a part: rows [begin, end) of the part stand at lane `lane` on of panel `panel`.
template <typename Body>
void for_each_panel(const ParameterPart& part, Body body) {
  for (int row = 0; row < part.num_rows;) {
    const int at = part.row_begin + row;
    const int lane = at % kPanelWidth;
    const int count = std::min(kPanelWidth - lane, part.num_rows - row);
    body(static_cast<std::size_t>(at / kPanelWidth), lane, row, count);
    row += count;
  }
}

void check_part(const Parameter& parameter, const ParameterPart& part, std::size_t num_values) {
  CHECK(part.row_begin >= 0 && part.num_rows >= 0 && part.row_begin + part.num_rows <= parameter.rows);
  CHECK(num_values == static_cast<std::size_t>(part.num_rows) * static_cast<std::size_t>(std::max(parameter.cols, 1)));
}

}  // namespace

ParameterLayout::ParameterLayout(const ModelConfig& config) {
  LayoutBuilder builder;
  embedding_ = builder.add("embed", config.hidden_size, {{"model.embed_tokens.weight", config.vocab_size}});
  for (int index = 0; index < config.num_layers; ++index) layers_.push_back(add_layer(builder, config, index));
  final_norm_ = builder.add_vector("final_norm", {{"model.norm.weight", config.hidden_size}});
  output_ = config.tied_embeddings ? embedding_
                                   : builder.add("output", config.hidden_size, {{"lm_head.weight", config.vocab_size}});
  num_floats_ = builder.num_floats();
  parameters_ = builder.take_parameters();
}

std::size_t ParameterLayout::num_parameters() const {
  std::size_t count = 0;
  for (const Parameter& parameter : parameters_) {
    count += static_cast<std::size_t>(parameter.rows) * static_cast<std::size_t>(std::max(parameter.cols, 1));
  }
  return count;
}

void pack_rows(const Parameter& parameter, const ParameterPart& part, std::span<const float> row_major, float* panels) {
  check_part(parameter, part, row_major.size());
  if (!parameter.is_matrix()) {
    std::memcpy(panels + part.row_begin, row_major.data(), row_major.size_bytes());
    return;
  }
  const auto cols = static_cast<std::size_t>(parameter.cols);
  for_each_panel(part, [&](std::size_t panel, int lane, int row, int count) {
    const float* from = row_major.data() + static_cast<std::size_t>(row) * cols;
    float* to = panels + panel * cols * kPanelWidth + lane;
    if (count == kPanelWidth) {  // known at compile time, so that the inner loop unrolls
      for (std::size_t k = 0; k < cols; ++k) {
        for (std::size_t n = 0; n < kPanelWidth; ++n) to[k * kPanelWidth + n] = from[n * cols + k];
      }
      return;
    }
    for (std::size_t k = 0; k < cols; ++k) {
      for (int n = 0; n < count; ++n) to[k * kPanelWidth + n] = from[static_cast<std::size_t>(n) * cols + k];
    }
  });
}

void unpack_rows(const Parameter& parameter, const ParameterPart& part, const float* panels,
                 std::span<float> row_major) {
  check_part(parameter, part, row_major.size());
  if (!parameter.is_matrix()) {
    std::memcpy(row_major.data(), panels + part.row_begin, row_major.size_bytes());
    return;
  }
  const auto cols = static_cast<std::size_t>(parameter.cols);
  for_each_panel(part, [&](std::size_t panel, int lane, int row, int count) {
    const float* from = panels + panel * cols * kPanelWidth + lane;
    float* to = row_major.data() + static_cast<std::size_t>(row) * cols;
    for (int n = 0; n < count; ++n) {
      for (std::size_t k = 0; k < cols; ++k) to[static_cast<std::size_t>(n) * cols + k] = from[k * kPanelWidth + n];
    }
  });
}

}  // namespace jigsaw
