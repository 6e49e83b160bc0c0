// run, plan.
#include <fmt/format.h>

#include <memory>

#include "examples/cli/commands.h"
#include "examples/cli/run_job.h"
#include "graph/window.h"
#include "scheduler/policy.h"
#include "workers/launch/mpi_session.h"
#include "workers/pipeline_runtime.h"

namespace jigsaw::cli {
namespace {

void add_job_options(CLI::App& command, RunRequest& request) {
  command.add_option("job", request.job_file, "Job file (YAML)")->required();
  command.add_option("--workers", request.workers, "Worker processes; 0 = all in this process")
      ->check(CLI::Range(0, 4096));
  command.add_option("--policy", request.policy, "Scheduling policy");
  command.add_option("--set", request.settings,
                     "path=value in the job, e.g. pipelines.0.train.steps=5; may be repeated");
}

int run(const RunRequest& request) {
  if (started_by_mpirun()) return run_as_rank(request);
  // Checked here first, so that mistakes are reported without mpirun's comments on them.
  const Result<Job> job = read_request(request);
  if (!job.ok()) return report_error(job.error());
  if (const auto policy = make_policy(job->config.policy); !policy.ok()) return report_error(policy.error());
  for (const PipelineConfig& pipeline : job->config.pipelines) {
    if (const auto memory = predict_memory(pipeline); !memory.ok()) {
      return report_error(memory.error().with_context("pipeline '" + pipeline.name + "'"));
    }
  }
  if (job->config.workers == 0) {
    const Result<RunSummary> summary = run_in_process(request);
    return summary.ok() ? kDone : report_error(summary.error());
  }
  return run_with_mpirun(request, job->config.workers);
}

// What the run would do: graphs, memory, and whether it fits.
int plan(const RunRequest& request) {
  const Result<Job> job = read_request(request);
  if (!job.ok()) return report_error(job.error());
  const auto policy = make_policy(job->config.policy);
  if (!policy.ok()) return report_error(policy.error());
  const int num_workers = std::max(job->config.workers, 1);
  const auto gb = [](std::size_t bytes) { return static_cast<double>(bytes) / (1 << 30); };
  std::size_t total = 0;
  for (const PipelineConfig& pipeline : job->config.pipelines) {
    const PipelineSpec spec = to_spec(pipeline);
    std::printf("%s\n", Window::build(spec, 1, Window::length(spec), num_workers).to_text(pipeline.name).c_str());
  }
  std::printf("%s", fmt::format("{:<20} {:>10} {:>10} {:>10} {:>10} {:>12} {:>10}\n", "memory a worker, GB", "weights",
                                "reference", "kv", "optimizer", "activations", "total")
                        .c_str());
  for (const PipelineConfig& pipeline : job->config.pipelines) {
    const Result<PipelineMemory> memory = predict_memory(pipeline);
    if (!memory.ok()) return report_error(memory.error().with_context("pipeline '" + pipeline.name + "'"));
    total += memory->total();
    std::printf("%s", fmt::format("{:<20} {:>10.3f} {:>10.3f} {:>10.3f} {:>10.3f} {:>12.3f} {:>10.3f}\n", pipeline.name,
                                  gb(memory->weights), gb(memory->reference), gb(memory->kv), gb(memory->optimizer),
                                  gb(memory->activations), gb(memory->total()))
                          .c_str());
  }
  const std::uint64_t limit = job->config.memory_bytes_per_worker;
  if (limit != 0 && total > limit) {
    return report_error(
        Error(ErrorCode::kResourceExhausted,
              fmt::format("the pipelines need {:.2f} GB a worker, memory_gb_per_worker allows {:.2f}; lower "
                          "rollout.kv_mb or train.micro_batch_tokens, or set train.recompute_activations",
                          gb(total), gb(limit))));
  }
  return kDone;
}

}  // namespace

void add_run(CLI::App& app, int& exit_code) {
  auto request = std::make_shared<RunRequest>();
  CLI::App* command = app.add_subcommand("run", "Runs the pipelines of a job; under mpirun as one of its ranks");
  add_job_options(*command, *request);
  command->add_option("--out", request->out, "Folder of the run; default runs/<job>");
  command->add_flag("--resume", request->resume, "Go on from the newest checkpoints in --out");
  command->add_flag("--json", request->json, "Print the summary as a JSON line on stdout");
  command->add_flag("--quiet", request->quiet, "No progress and no summary on stderr");
  command->callback([request, &exit_code] { exit_code = run(*request); });
}

void add_plan(CLI::App& app, int& exit_code) {
  auto request = std::make_shared<RunRequest>();
  CLI::App* command = app.add_subcommand("plan", "Checks a job and prints its graph and memory; runs nothing");
  add_job_options(*command, *request);
  command->callback([request, &exit_code] { exit_code = plan(*request); });
}

}  // namespace jigsaw::cli
