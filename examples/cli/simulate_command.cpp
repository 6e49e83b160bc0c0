// simulate: a job's schedule on simulated workers.
#include <cstdio>
#include <memory>

#include "examples/cli/commands.h"
#include "examples/cli/explain.h"
#include "examples/cli/progress.h"
#include "examples/cli/simulated_job.h"
#include "scheduler/policy.h"

namespace jigsaw::cli {
namespace {

Status run(const SimulationRequest& request, bool json, bool explains) {
  JIGSAW_ASSIGN_OR_RETURN(const SimulatedJob job, read_simulated_job(request));
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<Policy> policy, make_policy(job.policy));
  SimulationObserver observer;
  if (explains) {
    observer.on_decision = [](double now_s, const Plan& plan, const Decision& decision) {
      std::fprintf(stderr, "%s", explain(now_s, plan, decision).c_str());
    };
  }
  JIGSAW_ASSIGN_OR_RETURN(const RunSummary summary, simulate(job.pipelines, *policy, job.capacity(), observer));
  if (json) {
    std::printf("%s\n", to_json(summary).c_str());
  } else {
    std::fprintf(stderr, "simulated on %d workers; rests on %s (%s)\n", job.num_workers, job.profile.name.c_str(),
                 job.profile.source.c_str());
    print_summary(summary, "");
  }
  return ok_status();
}

}  // namespace

void add_simulate(CLI::App& app, int& exit_code) {
  auto request = std::make_shared<SimulationRequest>();
  auto json = std::make_shared<bool>(false), explains = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("simulate", "A job's schedule on simulated workers; runs no model");
  command->add_option("job", request->job_file, "Job file (YAML)")->required();
  command->add_option("--policy", request->policy, "Scheduling policy");
  command->add_option("--workers", request->workers, "Simulated workers")->check(CLI::Range(1, 4096));
  command->add_option("--profile", request->profile, "Profile file; default: what the job names");
  command->add_option("--set", request->settings, "path=value in the job; may be repeated");
  command->add_flag("--json", *json, "Print the summary as a JSON line on stdout");
  command->add_flag("--explain", *explains, "Print every decision with its options on stderr");
  command->callback([=, &exit_code] { exit_code = exit_code_of(run(*request, *json, *explains)); });
}

}  // namespace jigsaw::cli
