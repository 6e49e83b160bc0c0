// The tiny models, batches and gradients of golden/make_goldens.py, made here from the same hash.
#pragma once

#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "rollout/models/policy_weights.h"
#include "workers/trainer/training_sample.h"

namespace jigsaw {

// `count` numbers in [-0.5, 0.5), the same in C++ and Python.
std::vector<double> hashed_uniform(const std::string& name, std::size_t count);

ModelConfig tiny_config(std::string_view name);                    // "llama", "qwen3_tied"
std::unique_ptr<PolicyWeights> tiny_model(std::string_view name);  // with the goldens' weights

// Where element (row, col) of the Hugging Face tensor stands in the flat buffer.
std::size_t flat_index(const ParameterLayout& layout, const std::string& hf_name, int row, int col);

// A flat buffer with `value(name, num_values)` for each Hugging Face tensor, row-major.
template <typename Values>
void fill_flat(const ParameterLayout& layout, std::span<float> flat, Values value) {
  for (const Parameter& parameter : layout.parameters()) {
    for (const ParameterPart& part : parameter.parts) {
      const std::vector<float> row_major =
          value(part.hf_name, static_cast<std::size_t>(part.num_rows), static_cast<std::size_t>(parameter.cols));
      pack_rows(parameter, part, row_major, flat.data() + parameter.offset);
    }
  }
}

nlohmann::json read_golden(const std::string& file);
// Lines as `jigsaw loss` reads them.
std::vector<TrainingSample> golden_batch(const nlohmann::json& lines);

}  // namespace jigsaw
