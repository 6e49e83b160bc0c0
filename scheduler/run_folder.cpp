#include "scheduler/run_folder.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/files.h"
#include "core/log.h"

namespace jigsaw {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr char kStepPrefix[] = "step-";

// Number of a complete checkpoint's folder; -1 for anything else (half-written ones have other names).
std::int64_t checkpoint_step(const fs::path& folder) {
  const std::string name = folder.filename().string();
  if (!name.starts_with(kStepPrefix)) return -1;
  const std::string digits = name.substr(sizeof kStepPrefix - 1);
  if (digits.empty() || digits.size() > 15 || digits.find_first_not_of("0123456789") != std::string::npos) return -1;
  return fs::exists(folder / "state.json") ? std::stoll(digits) : -1;
}

// Ascending by step.
std::map<std::int64_t, fs::path> checkpoints_in(const fs::path& folder) {
  std::map<std::int64_t, fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (const std::int64_t step = checkpoint_step(entry.path()); step >= 0) found[step] = entry.path();
  }
  return found;
}

Status append_line(const fs::path& file, const std::string& line) {
  std::ofstream stream(file, std::ios::app | std::ios::binary);
  stream << line << '\n';
  stream.flush();
  if (!stream) return Error(ErrorCode::kResourceExhausted, file.string() + ": cannot write; is the disk full?");
  return ok_status();
}

// Keeps the lines for which keep(json) holds; a line that is no JSON (cut by a kill) goes.
Status filter_lines(const fs::path& file, const std::function<bool(const Json&)>& keep) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return ok_status();
  std::string kept;
  for (std::string line; std::getline(stream, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_object() && keep(json)) kept += line + "\n";
  }
  return write_file_atomically(file, kept);
}

std::string metrics_line(const StepReport& report, const std::string& name) {
  Json json = {
      {"pipeline", name},
      {"step", report.step},
      {"policy_version", report.policy_version},
      {"reward_mean", report.reward_mean},
      {"reward_std", report.reward_std},
      {"loss", report.loss},
      {"grad_norm", report.grad_norm},
      {"lr", report.lr},
      {"entropy", report.entropy},
      {"kl", report.kl},
      {"clip_share", report.clip_share},
      {"samples", report.num_samples},
      {"completion_tokens", report.completion_tokens},
      {"prompt_tokens", report.prompt_tokens},
      {"truncated", report.truncated},
      {"recomputed_tokens", report.recomputed_tokens},
      {"reward_errors", report.reward_errors},
      {"step_s", report.step_s},
      {"rollout_s", report.rollout_s},
      {"logprob_s", report.logprob_s},
      {"update_s", report.update_s},
      {"alone_s", report.alone_s},
      {"tokens_per_s", report.step_s > 0 ? static_cast<double>(report.completion_tokens) / report.step_s : 0.0},
      {"weights_hash", report.weights_hash}};
  if (report.prediction_error) json["prediction_error"] = *report.prediction_error;
  if (!report.reward_parts.empty()) json["reward_parts"] = report.reward_parts;
  if (!report.reward_error.empty()) json["reward_error"] = report.reward_error;
  if (report.tool_calls > 0) json["tool_calls"] = report.tool_calls;
  if (report.tool_errors > 0) json["tool_errors"] = report.tool_errors;
  if (!report.tool_error.empty()) json["tool_error"] = report.tool_error;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string trajectory_line(const wire::Trajectory& trajectory, std::int64_t step) {
  Json json = {{"step", step},
               {"sample", trajectory.sample()},
               {"prompt_index", trajectory.prompt_index()},
               {"reward", trajectory.reward()},
               {"tokens", trajectory.logprobs_size()},
               {"truncated", trajectory.truncated()},
               {"policy_version", trajectory.policy_version()},
               {"prompt", trajectory.prompt_text()},
               {"completion", trajectory.completion_text()}};
  if (!trajectory.reward_error().empty()) json["reward_error"] = trajectory.reward_error();
  if (trajectory.given_size() > 0) json["tool_calls"] = trajectory.given_size() / 2;
  if (!trajectory.tool_error().empty()) json["tool_error"] = trajectory.tool_error();
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Result<RunFolder> RunFolder::open(const fs::path& root, const std::string& job_yaml, const std::string& identity,
                                  std::vector<PipelineSpec> specs, bool resume) {
  std::error_code error;
  const bool has_run = fs::exists(root / "job.yaml", error);
  if (has_run && !resume) {
    return Error(ErrorCode::kInvalidArgument,
                 root.string() + ": holds a run already; go on with it by --resume, or name another --out");
  }
  for (const fs::path& sub : {fs::path("trajectories"), fs::path("logs"), fs::path("checkpoints")}) {
    fs::create_directories(root / sub, error);
    if (error)
      return Error(ErrorCode::kResourceExhausted,
                   (root / sub).string() + ": cannot make this folder: " + error.message());
  }
  JIGSAW_ASSIGN_OR_RETURN(FolderLock lock, FolderLock::take(root));
  RunFolder folder(root, std::move(lock), std::move(specs));
  const fs::path identity_file = root / "logs" / "identity.txt";
  if (has_run) {
    std::ifstream stream(identity_file, std::ios::binary);
    std::ostringstream before;
    before << stream.rdbuf();
    if (stream && before.str() != identity) {
      return Error(ErrorCode::kInvalidArgument,
                   root.string() +
                       ": --resume with a job that trains otherwise than the one in job.yaml there; only workers, "
                       "threads, memory, policy, train.steps and checkpoint may change");
    }
  }
  JIGSAW_RETURN_IF_ERROR(write_file_atomically(identity_file, identity));
  JIGSAW_RETURN_IF_ERROR(write_file_atomically(root / "job.yaml", job_yaml));
  for (const PipelineSpec& spec : folder.specs_) {
    const fs::path checkpoints = folder.checkpoint_root() / spec.name;
    fs::create_directories(checkpoints, error);
    StartPoint start;
    if (const auto found = checkpoints_in(checkpoints); !found.empty()) {
      start = {.step = found.rbegin()->first, .folder = found.rbegin()->second.string()};
    }
    folder.start_points_.push_back(start);
  }
  JIGSAW_RETURN_IF_ERROR(folder.cut_logs());
  return folder;
}

Status RunFolder::cut_logs() const {
  std::map<std::string, std::int64_t> steps_done;
  for (std::size_t i = 0; i < specs_.size(); ++i) steps_done[specs_[i].name] = start_points_[i].step;
  JIGSAW_RETURN_IF_ERROR(filter_lines(root_ / "metrics.jsonl", [&](const Json& json) {
    const auto done = steps_done.find(json.value("pipeline", ""));
    return done != steps_done.end() && json.value("step", std::int64_t{0}) <= done->second;
  }));
  for (const auto& [name, step] : steps_done) {
    JIGSAW_RETURN_IF_ERROR(filter_lines(root_ / "trajectories" / (name + ".jsonl"), [last = step](const Json& json) {
      return json.value("step", std::int64_t{0}) <= last;
    }));
  }
  return ok_status();
}

Status RunFolder::on_step(const StepReport& report) {
  const std::string& name = specs_[static_cast<std::size_t>(report.pipeline)].name;
  std::string lines;
  for (const wire::Trajectory& trajectory : report.trajectories) {
    lines += (lines.empty() ? "" : "\n") + trajectory_line(trajectory, report.step);
  }
  JIGSAW_RETURN_IF_ERROR(append_line(root_ / "trajectories" / (name + ".jsonl"), lines));
  return append_line(root_ / "metrics.jsonl", metrics_line(report, name));
}

Status RunFolder::on_checkpoint(int pipeline, std::int64_t, const std::string&) {
  const PipelineSpec& spec = specs_[static_cast<std::size_t>(pipeline)];
  auto found = checkpoints_in(checkpoint_root() / spec.name);
  while (static_cast<int>(found.size()) > spec.checkpoints_kept) {
    std::error_code error;
    // Renamed first, so that a kill in the middle leaves no half-deleted folder under a checkpoint's name.
    const fs::path old = found.begin()->second, doomed = old.parent_path() / ("deleting-" + old.filename().string());
    fs::rename(old, doomed, error);
    if (!error) fs::remove_all(doomed, error);
    if (error) log_warning("checkpoint.not_deleted", "folder={} error=\"{}\"", old.string(), error.message());
    found.erase(found.begin());
  }
  return ok_status();
}

Status RunFolder::on_added(const Addition& addition) {
  for (const PipelineSpec& spec : addition.specs) {
    std::error_code error;
    fs::create_directories(checkpoint_root() / spec.name, error);
  }
  JIGSAW_RETURN_IF_ERROR(write_file_atomically(root_ / "job.yaml", addition.job_yaml));
  JIGSAW_RETURN_IF_ERROR(
      write_file_atomically(added_file(root_), addition.added_yaml));  // from now on --resume has them
  specs_.insert(specs_.end(), addition.specs.begin(), addition.specs.end());
  start_points_.resize(specs_.size());
  return ok_status();
}

Status RunFolder::write_summary(const RunSummary& summary) const {
  return write_file_atomically(root_ / "summary.json", to_json(summary) + "\n");
}

}  // namespace jigsaw
