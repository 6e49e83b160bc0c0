// run.
#include <memory>

#include "examples/cli/commands.h"
#include "examples/cli/run_job.h"
#include "scheduler/policy.h"
#include "workers/launch/mpi_session.h"

namespace jigsaw::cli {

void add_job_options(CLI::App& command, RunRequest& request) {
  command.add_option("job", request.job_file, "Job file (YAML)")->required();
  command.add_option("--workers", request.workers, "Worker processes; 0 = all in this process")
      ->check(CLI::Range(0, 4096));
  command.add_option("--policy", request.policy, "Scheduling policy");
  command.add_option("--set", request.settings,
                     "path=value in the job, e.g. pipelines.0.train.steps=5; may be repeated");
}

Status check_policy(const std::string& name) {
  const auto policy = make_policy(name);
  return policy.ok() ? ok_status() : policy.error();
}

namespace {

int run(const RunRequest& request) {
  if (started_by_mpirun()) return run_as_rank(request);
  // Checked here first, so that mistakes are reported without mpirun's comments on them.
  const Result<Job> job = read_request(request);
  if (!job.ok()) return report_error(job.error());
  if (const Status status = check_policy(job->config.policy); !status.ok()) return report_error(status.error());
  if (const auto profile = profile_of(job->config); !profile.ok()) return report_error(profile.error());
  if (const auto specs = to_specs(job->config); !specs.ok()) return report_error(specs.error());
  if (job->config.workers == 0) {
    const Result<RunSummary> summary = run_in_process(request);
    return summary.ok() ? kDone : report_error(summary.error());
  }
  return run_with_mpirun(request, job->config.workers);
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

}  // namespace jigsaw::cli
