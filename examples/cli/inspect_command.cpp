// inspect: shows a model, a checkpoint or a run.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "core/files.h"
#include "examples/cli/commands.h"
#include "examples/cli/json_lines.h"
#include "rollout/models/model_files.h"

namespace jigsaw::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kStateBytesMax = std::uint64_t{64} << 20;  // of state.json and summary.json

Status inspect_model(const fs::path& path, bool json) {
  JIGSAW_ASSIGN_OR_RETURN(const ModelConfig config, read_model_config(path));
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<StoredTensor> tensors, list_tensors(path));
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<PolicyWeights> weights, load_model(path));
  nlohmann::ordered_json summary = {{"kind", "model"},
                                    {"path", path.string()},
                                    {"family", config.family},
                                    {"parameters", weights->layout().num_parameters()},
                                    {"hidden_size", config.hidden_size},
                                    {"num_layers", config.num_layers},
                                    {"num_heads", config.num_heads},
                                    {"num_kv_heads", config.num_kv_heads},
                                    {"head_dim", config.head_dim},
                                    {"intermediate_size", config.intermediate_size},
                                    {"vocab_size", config.vocab_size},
                                    {"max_positions", config.max_positions},
                                    {"tied_embeddings", config.tied_embeddings},
                                    {"sliding_window", config.sliding_window},
                                    {"eos_tokens", config.eos_tokens},
                                    {"weights_hash", weights->hash()}};
  if (fs::exists(path / "state.json")) {
    JIGSAW_ASSIGN_OR_RETURN(const std::string state, read_text_file(path / "state.json", kStateBytesMax));
    summary["checkpoint"] = nlohmann::ordered_json::parse(state, nullptr, false);
  }
  if (json) {
    summary["tensors"] = nlohmann::ordered_json::array();
    for (const StoredTensor& tensor : tensors) {
      summary["tensors"].push_back({{"name", tensor.name}, {"type", tensor.type}, {"shape", tensor.shape}});
    }
    print_json_line(summary);
    return ok_status();
  }
  for (const auto& [key, value] : summary.items()) {
    std::printf("%s",
                fmt::format("{:<18} {}\n", key, value.is_string() ? value.get<std::string>() : value.dump()).c_str());
  }
  std::printf("\n");
  for (const StoredTensor& tensor : tensors) {
    std::printf("%s",
                fmt::format("{:<52} {:<6} [{}]\n", tensor.name, tensor.type, fmt::join(tensor.shape, ", ")).c_str());
  }
  return ok_status();
}

Status inspect_run(const fs::path& path, bool json) {
  if (fs::exists(path / "summary.json")) {
    JIGSAW_ASSIGN_OR_RETURN(const std::string summary, read_text_file(path / "summary.json", kStateBytesMax));
    std::printf(
        "%s", json ? summary.c_str() : (nlohmann::ordered_json::parse(summary, nullptr, false).dump(2) + "\n").c_str());
  } else {
    std::fprintf(stderr, "jigsaw: this run has not come to its end (no summary.json)\n");
  }
  if (json) return ok_status();
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(path / "checkpoints", error)) {
    if (entry.path().filename() == "state.json") std::printf("checkpoint %s\n", entry.path().parent_path().c_str());
  }
  return ok_status();
}

Status inspect(const fs::path& path, bool json) {
  if (!fs::exists(path)) return Error(ErrorCode::kNotFound, path.string() + ": there is no such file or folder");
  if (fs::exists(path / "job.yaml")) return inspect_run(path, json);
  if (fs::exists(path / "config.json") || !fs::is_directory(path)) return inspect_model(path, json);
  return Error(ErrorCode::kInvalidArgument,
               path.string() + ": holds neither a model (config.json) nor a run (job.yaml)");
}

}  // namespace

void add_inspect(CLI::App& app, int& exit_code) {
  auto path = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("inspect", "Shows a model, a checkpoint or a run's folder");
  command->add_option("path", *path, "Hugging Face folder, .gguf file, checkpoint, or the --out of a run")->required();
  command->add_flag("--json", *json, "One JSON line");
  command->callback([path, json, &exit_code] { exit_code = exit_code_of(inspect(*path, *json)); });
}

}  // namespace jigsaw::cli
