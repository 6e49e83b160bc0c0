// plan: what a run would do, without doing it.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "examples/cli/commands.h"
#include "examples/cli/explain.h"
#include "examples/cli/run_job.h"
#include "examples/cli/simulated_job.h"
#include "graph/window.h"
#include "rollout/tokenizer/tokenizer.h"
#include "scheduler/memory_ledger.h"
#include "scheduler/policy.h"
#include "workers/pipeline_runtime.h"

namespace jigsaw::cli {
namespace {

// Steps whose schedule `--explain` shows: the first two teach the prediction.
constexpr std::int64_t kExplainedSteps = 4;

struct PlanRequest {
  RunRequest run;
  std::string profile;
  std::string format = "text";
  bool explains = false;
};

void print_graph(const PipelineSpec& spec, int num_workers, const std::string& format) {
  const Window window = Window::build(spec, 1, Window::length(spec), num_workers);
  const std::string text = format == "dot"    ? window.to_dot(spec.name)
                           : format == "json" ? window.to_json(spec.name)
                                              : window.to_text(spec.name);
  std::printf("%s\n", text.c_str());
}

// Every row of the ledger, and whether all can get on.
Status print_memory(const JobConfig& config, int num_workers) {
  const auto gb = [](std::size_t bytes) { return static_cast<double>(bytes) / (1 << 30); };
  std::printf("%s",
              fmt::format("{:<20} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11} {:>9}\n", "memory a worker, GB", "weights",
                          "rollout's", "reference", "optimizer", "kv", "gradients", "activations", "total")
                  .c_str());
  std::vector<MemoryNeeds> needs;
  std::vector<std::string> names;
  MemoryNeeds sum;
  for (const PipelineConfig& pipeline : config.pipelines) {
    JIGSAW_ASSIGN_OR_RETURN(const PipelineMemory memory, predict_memory(pipeline));
    std::printf("%s", fmt::format("{:<20} {:>9.3f} {:>9.3f} {:>9.3f} {:>9.3f} {:>9.3f} {:>9.3f} {:>11.3f} {:>9.3f}\n",
                                  pipeline.name, gb(memory.weights), gb(memory.rollout_weights), gb(memory.reference),
                                  gb(memory.optimizer), gb(memory.kv), gb(memory.gradients), gb(memory.activations),
                                  gb(memory.total()))
                          .c_str());
    needs.push_back(memory.needs());
    names.push_back(pipeline.name);
    sum.resident += needs.back().resident;
    sum.rollout += needs.back().rollout;
    sum.training += needs.back().training;
  }
  const std::uint64_t limit = memory_limit(config, num_workers);
  std::printf("%s",
              fmt::format("resident {:.3f} GB; with everything running at once {:.3f} GB; a worker may use {:.3f} GB\n",
                          gb(sum.resident), gb(sum.resident + sum.rollout + sum.training), gb(limit))
                  .c_str());
  return MemoryLedger(std::move(needs), limit).admit(names);
}

// What to_specs() leaves to the workers.
Status check_tokenizers(const JobConfig& config) {
  for (const PipelineConfig& pipeline : config.pipelines) {
    if (pipeline.from_scratch()) continue;
    const auto tokenizer = load_tokenizer(pipeline.model);
    if (!tokenizer.ok()) return tokenizer.error().with_context("pipeline '" + pipeline.name + "'");
  }
  return ok_status();
}

Status explain_schedule(SimulatedJob job) {
  for (SimulatedPipeline& pipeline : job.pipelines)
    pipeline.spec.steps = std::min(pipeline.spec.steps, kExplainedSteps);
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<Policy> policy, make_policy(job.policy));
  std::printf("\nPredicted schedule of the first %lld steps under '%s', simulated on %s\n",
              static_cast<long long>(kExplainedSteps), job.policy.c_str(), job.profile.name.c_str());
  SimulationObserver observer;
  observer.on_decision = [](double now_s, const Plan& plan, const Decision& decision) {
    std::printf("%s", explain(now_s, plan, decision).c_str());
  };
  const Result<RunSummary> summary = simulate(job.pipelines, *policy, job.capacity(), observer);
  return summary.ok() ? ok_status() : summary.error();
}

Status plan(const PlanRequest& request) {
  if (names_workloads(request.run.job_file)) {
    JIGSAW_ASSIGN_OR_RETURN(SimulatedJob job, read_simulated_job(simulation_of(request.run, request.profile)));
    JIGSAW_RETURN_IF_ERROR(check_policy(job.policy));
    for (const SimulatedPipeline& pipeline : job.pipelines) {
      print_graph(pipeline.spec, job.num_workers, request.format);
    }
    return request.explains ? explain_schedule(std::move(job)) : ok_status();
  }
  JIGSAW_ASSIGN_OR_RETURN(const Job job, read_request(request.run));
  JIGSAW_RETURN_IF_ERROR(check_policy(job.config.policy));
  if (const auto profile = profile_of(job.config); !profile.ok()) return profile.error();
  const int num_workers = std::max(job.config.workers, 1);
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<PipelineSpec> specs, to_specs(job.config));
  JIGSAW_RETURN_IF_ERROR(check_tokenizers(job.config));
  for (const PipelineSpec& spec : specs) print_graph(spec, num_workers, request.format);
  if (request.format == "text") JIGSAW_RETURN_IF_ERROR(print_memory(job.config, num_workers));
  if (!request.explains) return ok_status();
  JIGSAW_ASSIGN_OR_RETURN(SimulatedJob simulated, read_simulated_job(simulation_of(request.run, request.profile)));
  return explain_schedule(std::move(simulated));
}

}  // namespace

void add_plan(CLI::App& app, int& exit_code) {
  auto request = std::make_shared<PlanRequest>();
  CLI::App* command =
      app.add_subcommand("plan", "Checks a job and prints its graph, memory and predicted schedule; runs nothing");
  add_job_options(*command, request->run);
  command->add_option("--format", request->format, "Of the graph")->check(CLI::IsMember({"text", "dot", "json"}));
  command->add_flag("--explain", request->explains,
                    "Every decision of the first steps, with the options; needs a profile");
  command->add_option("--profile", request->profile, "Profile file that predictions rest on; see `jigsaw profile`");
  command->callback([request, &exit_code] { exit_code = exit_code_of(plan(*request)); });
}

}  // namespace jigsaw::cli
