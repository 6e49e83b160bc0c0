#include "rollout/models/stored_weights.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <unordered_map>
#include <utility>

#include "rollout/models/element_types.h"

namespace jigsaw {
namespace {

constexpr const char* kOutputName = "lm_head.weight";
constexpr std::size_t kNamesShownMax = 4;

// Where the rows of one part come from.
struct Assignment {
  int parameter = 0;
  const ParameterPart* part = nullptr;
  const StoredWeight* from = nullptr;
  ElementType type = ElementType::kF32;
};

std::string to_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

std::string to_text(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kNamesShownMax); ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kNamesShownMax) text += " and " + std::to_string(names.size() - kNamesShownMax) + " more";
  return text;
}

// Pairs the layout's parts with stored weights; every problem is an error before anything is allocated.
class Matcher {
 public:
  Matcher(const ModelConfig& config, const ParameterLayout& layout, const StoredWeights& stored)
      : config_(config), layout_(layout), stored_(stored) {}

  Result<std::vector<Assignment>> match() {
    JIGSAW_RETURN_IF_ERROR(index_names());
    std::vector<Assignment> assignments;
    std::vector<std::string> missing;
    for (std::size_t i = 0; i < layout_.parameters().size(); ++i) {
      const Parameter& parameter = layout_.parameters()[i];
      for (const ParameterPart& part : parameter.parts) {
        const auto found = by_name_.find(part.hf_name);
        if (found == by_name_.end()) {
          missing.push_back(stored_.stored_spelling ? stored_.stored_spelling(part.hf_name) : part.hf_name);
          continue;
        }
        JIGSAW_ASSIGN_OR_RETURN(const ElementType type, check(*found->second, part, parameter.cols));
        assignments.push_back({static_cast<int>(i), &part, found->second, type});
        by_name_.erase(found);
      }
    }
    if (!missing.empty()) {
      return error("missing tensors that the configuration asks for: " + to_text(missing) +
                   "; fetch all files of the model, or correct its configuration");
    }
    JIGSAW_RETURN_IF_ERROR(check_tied_output(assignments.front()));
    JIGSAW_RETURN_IF_ERROR(check_nothing_left());
    return assignments;
  }

 private:
  Error error(const std::string& what) const { return Error(ErrorCode::kCorrupt, stored_.place + ": " + what); }

  Status index_names() {
    for (const StoredWeight& weight : stored_.weights) {
      if (weight.hf_name.empty()) continue;
      const auto [other, inserted] = by_name_.emplace(weight.hf_name, &weight);
      if (!inserted) {
        return error("tensor " + weight.stored_name + " stands in both " + other->second->file + " and " + weight.file +
                     "; remove one of the files");
      }
    }
    return ok_status();
  }

  Result<ElementType> check(const StoredWeight& weight, const ParameterPart& part, int cols) const {
    std::vector<std::int64_t> wanted = {part.num_rows};
    if (cols > 0) wanted.push_back(cols);
    const std::string name = weight.file + ": tensor " + weight.stored_name;
    if (weight.shape != wanted) {
      return Error(ErrorCode::kCorrupt, name + " has shape " + to_text(weight.shape) +
                                            ", but the configuration asks for " + to_text(wanted) +
                                            "; weights and configuration belong to different models");
    }
    const std::optional<ElementType> type = find_element_type(weight.type);
    if (!type) {
      return Error(ErrorCode::kUnsupported,
                   name + " has type " + weight.type + "; supported are F32, F16, BF16 and, in GGUF, Q8_0, Q4_0, Q4_1");
    }
    return *type;
  }

  // A tied model may store its output matrix all the same, as long as it is the embedding.
  Status check_tied_output(const Assignment& embedding) {
    const auto found = by_name_.find(kOutputName);
    if (!config_.tied_embeddings || found == by_name_.end()) return ok_status();
    const StoredWeight &output = *found->second, &input = *embedding.from;
    if (output.type != input.type || output.shape != input.shape ||
        !std::equal(output.bytes.begin(), output.bytes.end(), input.bytes.begin(), input.bytes.end())) {
      return error("tie_word_embeddings is true, yet " + output.stored_name + " differs from " + input.stored_name +
                   "; set tie_word_embeddings to false, or remove the tensor");
    }
    by_name_.erase(found);
    return ok_status();
  }

  Status check_nothing_left() const {
    std::vector<std::string> unknown;
    for (const StoredWeight& weight : stored_.weights) {
      if (weight.hf_name.empty() || by_name_.contains(weight.hf_name)) unknown.push_back(weight.stored_name);
    }
    if (unknown.empty()) return ok_status();
    return error("tensors that a " + config_.family +
                 " model of this configuration does not have: " + to_text(unknown) +
                 "; correct the configuration, or convert the model to a plain causal language model");
  }

  const ModelConfig& config_;
  const ParameterLayout& layout_;
  const StoredWeights& stored_;
  std::unordered_map<std::string_view, const StoredWeight*> by_name_;
};

// The stored row that is row `row` of the part.
int stored_row(const StoredWeight& weight, int row) {
  const int head_dim = weight.rotary_adjacent_head_dim;
  if (head_dim == 0) return row;
  const int head = row / head_dim, channel = row % head_dim;
  return head * head_dim + channel % (head_dim / 2) * 2 + channel / (head_dim / 2);
}

void fill(const Parameter& parameter, const Assignment& assignment, std::vector<float>& scratch, float* panels) {
  const ParameterPart& part = *assignment.part;
  const StoredWeight& weight = *assignment.from;
  if (!parameter.is_matrix()) {
    widen(assignment.type, weight.bytes, {panels + part.row_begin, static_cast<std::size_t>(part.num_rows)});
    return;
  }
  const auto cols = static_cast<std::size_t>(parameter.cols);
  const std::size_t row_bytes = stored_bytes(assignment.type, cols);
  scratch.resize(kPanelWidth * cols);
  for (int row = 0; row < part.num_rows;) {  // a panel at a time: it is packed while still in the cache
    const int at = part.row_begin + row;
    const int count = std::min(kPanelWidth - at % kPanelWidth, part.num_rows - row);
    for (int i = 0; i < count; ++i) {
      const auto from = static_cast<std::size_t>(stored_row(weight, row + i)) * row_bytes;
      widen(assignment.type, weight.bytes.subspan(from, row_bytes),
            std::span(scratch).subspan(static_cast<std::size_t>(i) * cols, cols));
    }
    pack_rows(parameter, {part.hf_name, at, count}, std::span(scratch).first(static_cast<std::size_t>(count) * cols),
              panels);
    row += count;
  }
}

Status check_memory(const ParameterLayout& layout, const std::string& place) {
  const auto page_bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto memory_bytes = static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES)) * page_bytes;
  const std::size_t needed = layout.num_floats() * sizeof(float);
  if (needed <= memory_bytes) return ok_status();
  return Error(ErrorCode::kResourceExhausted, place + ": the weights take " + std::to_string(needed >> 20) +
                                                  " MiB as fp32, more than the " + std::to_string(memory_bytes >> 20) +
                                                  " MiB of this machine; use a smaller model");
}

}  // namespace

Result<std::unique_ptr<PolicyWeights>> assemble_weights(const ModelConfig& config, const StoredWeights& stored) {
  const ParameterLayout layout(config);
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<Assignment> assignments, Matcher(config, layout, stored).match());
  JIGSAW_RETURN_IF_ERROR(check_memory(layout, stored.place));
  std::unique_ptr<PolicyWeights> weights;
  try {
    weights = std::make_unique<PolicyWeights>(config);
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kResourceExhausted, stored.place + ": no memory left for the " +
                                                    std::to_string(layout.num_floats() * sizeof(float) >> 20) +
                                                    " MiB of its weights; use a smaller model");
  }
  std::vector<float> scratch;
  for (const Assignment& assignment : assignments) {
    fill(layout.parameter(assignment.parameter), assignment, scratch, weights->mutable_parameter(assignment.parameter));
  }
  return weights;
}

}  // namespace jigsaw
