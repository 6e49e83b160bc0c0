// Where each parameter of a model stands in the one flat fp32 buffer that holds them all (design.md section 3).
//
// A matrix [rows N = outputs][cols K = inputs] is stored as panels of 16 outputs: element (n, k) stands at
// offset + (n/16)*K*16 + k*16 + n%16; the last panel is padded with zero rows. Gradients and optimizer moments use the
// same layout, so AdamW, clipping, hashing and all-reduce are loops over flat buffers. Vectors are stored as they are.
// Every parameter starts at a multiple of 16 floats. Padding is zero and stays zero.
//
// Matrices that read the same input are one: qkv = [q; k; v] and gate_up = [gate; up], by rows.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "rollout/models/model_config.h"

namespace jigsaw {

inline constexpr int kPanelWidth = 16;

// A run of rows of a parameter under its Hugging Face name ("model.layers.0.self_attn.q_proj.weight").
struct ParameterPart {
  std::string hf_name;
  int row_begin = 0;
  int num_rows = 0;
};

struct Parameter {
  std::string name;        // "layers.0.qkv", "embed", "final_norm"
  int rows = 0;            // outputs; for a vector its length
  int cols = 0;            // inputs; 0 for a vector
  std::size_t offset = 0;  // floats from the start of the buffer
  std::size_t size = 0;    // floats, padding included
  std::vector<ParameterPart> parts;
  bool is_matrix() const { return cols > 0; }
  bool weight_decay = false;  // matrices only, as usual
};

// Indices into ParameterLayout::parameters(); -1 where the model has no such parameter.
struct LayerParameters {
  int attention_norm = -1, qkv = -1, qkv_bias = -1, q_norm = -1, k_norm = -1, attention_out = -1;
  int mlp_norm = -1, gate_up = -1, mlp_down = -1;
};

class ParameterLayout {
 public:
  explicit ParameterLayout(const ModelConfig& config);

  const std::vector<Parameter>& parameters() const { return parameters_; }
  const Parameter& parameter(int index) const { return parameters_[static_cast<std::size_t>(index)]; }
  const LayerParameters& layer(int index) const { return layers_[static_cast<std::size_t>(index)]; }
  int embedding() const { return embedding_; }
  int final_norm() const { return final_norm_; }
  int output() const { return output_; }  // equals embedding() when tied
  std::size_t num_floats() const { return num_floats_; }
  // Numbers a person would count: no padding, tied matrices once.
  std::size_t num_parameters() const;

 private:
  std::vector<Parameter> parameters_;
  std::vector<LayerParameters> layers_;
  int embedding_ = -1, final_norm_ = -1, output_ = -1;
  std::size_t num_floats_ = 0;
};

// Row-major [parameter.rows][cols] <-> panels, for `part` only. `panels` is the parameter's start in the flat buffer.
void pack_rows(const Parameter& parameter, const ParameterPart& part, std::span<const float> row_major, float* panels);
void unpack_rows(const Parameter& parameter, const ParameterPart& part, const float* panels,
                 std::span<float> row_major);

}  // namespace jigsaw
