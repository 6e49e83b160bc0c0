// profile: measures how fast a job's pipelines are on this machine.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>

#include "core/atomic_file.h"
#include "core/median.h"
#include "examples/cli/commands.h"
#include "examples/cli/run_job.h"
#include "rollout/engine/foreign_load.h"
#include "scheduler/cost/profile.h"
#include "scheduler/simulator/workload.h"
#include "workers/profiling/job_measurement.h"

namespace jigsaw::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kResponseLengths = 256;  // kept of a pipeline
constexpr int kCalibrationSteps = 64;          // drawn ones, whose mean rollout is to be the measured one
constexpr std::uint64_t kCalibrationSeed = 1;
constexpr double kForeignCoresMax = 0.1;  // kept busy by others, above which figures are doubtful

struct ProfileRequest {
  RunRequest run;  // job, workers, settings
  std::string out;
  int steps = 3;
  bool quick = false;
};

// Before the minutes of measuring; leaves no trace.
Status check_writable(const std::string& out) {
  std::error_code ignored;
  if (fs::is_directory(out, ignored)) {
    return Error(ErrorCode::kInvalidArgument, "--out " + out + ": is a folder; name a file in it, e.g. profile.yaml");
  }
  const Result<AtomicFile> file = AtomicFile::create(out);
  if (file.ok()) return ok_status();
  return Error(ErrorCode::kInvalidArgument, "--out " + file.error().message() + "; name a file in a folder that is " +
                                                "there and may be written to");
}

std::string processor_name() {
  std::ifstream stream("/proc/cpuinfo");
  for (std::string line; std::getline(stream, line);) {
    if (const std::size_t colon = line.find(": "); line.starts_with("model name") && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return "unknown processor";
}

ModelCost to_model(const PipelineMeasurement& measured) {
  const CostMeasurement& cost = measured.cost;
  ModelCost model;
  model.name = measured.name;
  for (const auto& point : cost.decode) model.decode.push_back({static_cast<double>(point.batch), point.seconds});
  model.context_token_s = cost.context_token_s;
  model.context_from = cost.context_from;
  model.prefill_token_s = cost.prefill.token_s;
  model.prefill_pass_s = cost.prefill.pass_s;
  model.logprob_token_s = cost.logprob_token_s;
  model.update_token_s = cost.update_token_s;
  model.optimizer_s = cost.optimizer_s;
  return model;
}

// Simulated prompts all have the mean length, so the quantiles are those of responses, with it added.
WorkloadFacts to_workload(const PipelineMeasurement& measured, const PipelineConfig& config, const ModelCost& model,
                          TokenBins bins) {
  const StepSeconds seconds = mean_seconds(measured.steps.steps);
  const std::vector<double>& responses = measured.steps.response_tokens;
  WorkloadFacts facts;
  facts.name = facts.model = measured.name;
  facts.prompts_per_step = config.rollout.prompts_per_step;
  facts.group_size = config.rollout.group_size;
  facts.rollout_s = seconds.rollout_s;
  facts.reward_s = seconds.reward_s;
  facts.ref_logprob_s = seconds.ref_logprob_s;
  facts.update_s = seconds.update_s;
  facts.sync_s = seconds.sync_s;
  facts.prompt_tokens = mean(measured.steps.prompt_tokens);
  facts.response_tokens = mean(responses);
  const auto total_at = [&](double q) { return facts.prompt_tokens + quantile(responses, q); };
  facts.total_quantiles = {total_at(0.5), total_at(0.9), total_at(0.99)};
  facts.response_max = static_cast<int>(*std::max_element(responses.begin(), responses.end()));
  facts.response_lengths = order_statistics(responses, kResponseLengths);
  facts.tail_time_share = seconds.rollout_s > 0 ? std::clamp(seconds.tail_s / seconds.rollout_s, 0.0, 1.0) : 0;
  const WorkloadCheck check = check_workload(Workload(facts, bins), model, kCalibrationSeed, kCalibrationSteps);
  if (check.passes_s > 0) facts.engine_overhead = std::clamp(check.engine_overhead, 1e-3, 1e6);
  return facts;
}

Profile to_profile(const JobMeasurement& measured, const JobConfig& config, const std::string& name, int num_threads) {
  Profile profile;
  profile.name = name;
  profile.kind = ProfileKind::kMeasured;
  profile.source = fmt::format("jigsaw profile on {}, {} threads a worker", processor_name(), num_threads);
  profile.bins = config.bins;
  for (std::size_t i = 0; i < measured.pipelines.size(); ++i) {
    profile.models.push_back(to_model(measured.pipelines[i]));
    profile.workloads.push_back(
        to_workload(measured.pipelines[i], config.pipelines[i], profile.models.back(), config.bins));
  }
  for (const SlowdownMeasurement& row : measured.slowdowns) {
    profile.slowdown_rows.push_back({row.first, row.second, row.share, {row.first_factor, row.second_factor}});
  }
  return profile;
}

void print_table(const Profile& profile) {
  std::string text = fmt::format("\n{:<20} {:>14} {:>18} {:>12} {:>13} {:>12} {:>10}\n", "pipeline", "pass, batch 1",
                                 "pass, widest", "prefill/tok", "training/tok", "optimizer", "overhead");
  const auto ms = [](double seconds) { return fmt::format("{:.3f} ms", 1e3 * seconds); };
  for (const WorkloadFacts& facts : profile.workloads) {
    const ModelCost& model = **profile.model(facts.model);
    const ModelCost::DecodePoint& widest = model.decode.back();
    text +=
        fmt::format("{:<20} {:>14} {:>18} {:>12} {:>13} {:>12} {:>9.2f}x\n", facts.name,
                    ms(model.decode.front().seconds), fmt::format("{} at {:.0f}", ms(widest.seconds), widest.batch),
                    ms(model.prefill_token_s), ms(model.update_token_s), ms(model.optimizer_s), facts.engine_overhead);
  }
  if (profile.slowdown_rows.empty()) {
    text += "no slowdowns measured: sub-stages are taken to share a worker in turns\n";
  } else {
    const SlowdownTable table = profile.slowdown_table();
    for (const SubStageKind kind : {SubStageKind::kDecodeTail, SubStageKind::kDecodeBulk}) {
      const auto factors = table.factors(kind, SubStageKind::kUpdate, 0.5);
      text += fmt::format("{} beside update, half of the worker each: {:.2f}x and {:.2f}x as long as alone\n",
                          to_string(kind), factors.first, factors.second);
    }
  }
  std::fprintf(stderr, "%s", text.c_str());
}

Status profile(const ProfileRequest& request) {
  JIGSAW_ASSIGN_OR_RETURN(const Job job, read_request(request.run));
  JIGSAW_RETURN_IF_ERROR(check_writable(request.out));
  const int num_workers = std::max(job.config.workers, 1);
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [begin] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  MeasureOptions options;
  options.num_steps = request.steps;
  options.num_threads = threads_of_worker(job.config, num_workers);
  options.memory_bytes_max = memory_limit(job.config, num_workers);
  options.on_progress = [&](const std::string& line) {
    std::fprintf(stderr, "[%7.1f s] %s\n", seconds(), line.c_str());
  };
  if (request.quick) {
    options.num_steps = (options.num_steps + 1) / 2;
    options.window_s /= 2;
    options.steps_s_max /= 2;
    options.slowdowns_s_max /= 2;
  }
  options.on_progress(
      fmt::format("{} pipelines, {} threads a worker; no further step of a pipeline begins after {:.0f} s, slowdowns "
                  "end after about "
                  "{:.0f} s",
                  job.config.pipelines.size(), options.num_threads, options.steps_s_max, options.slowdowns_s_max));
  const ForeignLoad foreign_load;
  JIGSAW_ASSIGN_OR_RETURN(const JobMeasurement measured, measure_job(job.config, options));
  const double foreign_cores = foreign_load.cores();
  Profile profile =
      to_profile(measured, job.config, fs::path(request.run.job_file).stem().string(), options.num_threads);
  if (foreign_cores > kForeignCoresMax) {
    profile.source += fmt::format("; others kept {:.1f} cores busy meanwhile", foreign_cores);
    options.on_progress(fmt::format(
        "doubtful: others kept {:.1f} cores busy meanwhile; measure again on a quiet machine", foreign_cores));
  }
  JIGSAW_RETURN_IF_ERROR(profile.save(request.out));
  options.on_progress("written: " + request.out);
  print_table(profile);
  return ok_status();
}

}  // namespace

void add_profile(CLI::App& app, int& exit_code) {
  auto request = std::make_shared<ProfileRequest>();
  CLI::App* command =
      app.add_subcommand("profile", "Measures the speed of a job's pipelines on this machine, for predictions");
  command->add_option("job", request->run.job_file, "Job file (YAML)")->required();
  command->add_option("--out", request->out, "Profile file to write (YAML)")->required();
  command->add_option("--steps", request->steps, "Real steps of each pipeline; the first of several is not timed")
      ->check(CLI::Range(1, 1000));
  command->add_flag("--quick", request->quick, "Half the steps and half the time of everything");
  command->add_option("--workers", request->run.workers, "Workers that share out the cores; default: what the job says")
      ->check(CLI::Range(0, 4096));
  command->add_option("--set", request->run.settings, "path=value in the job; may be repeated");
  command->callback([request, &exit_code] { exit_code = exit_code_of(profile(*request)); });
}

}  // namespace jigsaw::cli
