#include "examples/cli/simulated_job.h"

#include <xxhash.h>

#include <algorithm>
#include <memory>

#include "core/config/yaml_section.h"
#include "core/files.h"
#include "core/philox.h"
#include "examples/cli/run_job.h"
#include "scheduler/simulator/workload_durations.h"
#include "workers/job/job_config.h"
#include "workers/job/pipeline_rules.h"
#include "workers/job/pipeline_sections.h"

namespace jigsaw::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kJobBytesMax = std::size_t{16} << 20;

struct Draft {
  PipelineSpec spec;  // what the job says; the rest comes from the workload
  std::string workload;
};

Draft read_draft(YamlSection& yaml) {
  Draft draft;
  PipelineSpec& spec = draft.spec;
  yaml.require("name");
  yaml.read("name", spec.name);
  yaml.require("workload");
  yaml.read("workload", draft.workload);
  YamlSection train = yaml.section("train");
  train.read("steps", spec.steps, 1, 1 << 30);
  train.finish();
  spec.staleness = read_staleness(yaml);
  yaml.read("weight", spec.weight, 1e-3, 1e3);
  double deadline_s = 0;
  yaml.read("deadline", deadline_s, 0, 1e7);
  spec.deadline = std::chrono::milliseconds(static_cast<std::int64_t>(deadline_s * 1000));
  yaml.read("latency_cap", spec.latency_cap, 1, 1e3);
  yaml.finish();
  return draft;
}

// Anything that is wrong with the text shows when it is read in earnest.
bool text_names_workloads(const std::string& text) {
  Result<YamlSection> yaml = YamlSection::parse(text, "job");
  if (!yaml.ok()) return false;
  const std::vector<YamlSection> pipelines = yaml->list("pipelines");
  return std::any_of(pipelines.begin(), pipelines.end(),
                     [](const YamlSection& pipeline) { return pipeline.has("workload"); });
}

Result<SimulatedPipeline> make_pipeline(const Draft& draft, const Profile& profile, std::uint64_t seed,
                                        int num_workers) {
  JIGSAW_ASSIGN_OR_RETURN(const WorkloadFacts* const facts, profile.workload(draft.workload));
  JIGSAW_ASSIGN_OR_RETURN(const ModelCost* const model, profile.model(facts->model));
  const Workload workload(*facts, profile.bins);
  SimulatedPipeline pipeline;
  pipeline.spec = workload.spec(draft.spec.name, draft.spec.steps);
  pipeline.spec.staleness = draft.spec.staleness;
  pipeline.spec.weight = draft.spec.weight;
  pipeline.spec.deadline = draft.spec.deadline;
  pipeline.spec.latency_cap = draft.spec.latency_cap;
  pipeline.cost = *model;
  // By name, as real pipelines' seeds are.
  const std::uint64_t own_seed = philox_key(seed, XXH3_64bits(draft.spec.name.data(), draft.spec.name.size()), 0);
  pipeline.durations = std::make_shared<WorkloadDurations>(workload, *model, pipeline.spec, own_seed, num_workers);
  return pipeline;
}

}  // namespace

SimulationRequest simulation_of(const RunRequest& run, const std::string& profile) {
  return {.job_file = run.job_file,
          .workers = run.workers,
          .policy = run.policy,
          .profile = profile,
          .settings = run.settings};
}

bool names_workloads(const std::string& job_file) {
  const Result<std::string> text = read_text_file(job_file, kJobBytesMax);
  return text.ok() && text_names_workloads(*text);
}

Capacity SimulatedJob::capacity() const {
  Capacity capacity;
  capacity.num_workers = num_workers;
  capacity.splits = {0.2, 0.35, 0.5, 0.65, 0.8};  // as SM partitions come
  capacity.can_merge = can_merge;
  capacity.slowdown = profile.slowdown_table();
  return capacity;
}

Result<SimulatedJob> read_simulated_job(const SimulationRequest& request) {
  JIGSAW_ASSIGN_OR_RETURN(const std::string text, read_text_file(request.job_file, kJobBytesMax));
  SimulatedJob job;
  std::vector<Draft> drafts;
  std::uint64_t seed = 0;
  std::string profile_file;
  job.policy = "lookahead";
  if (text_names_workloads(text)) {
    JIGSAW_ASSIGN_OR_RETURN(YamlSection yaml, YamlSection::parse(text, request.job_file));
    JIGSAW_RETURN_IF_ERROR(yaml.set_all(request.settings));
    yaml.read("seed", seed);
    yaml.read("workers", job.num_workers, 1, 4096);
    yaml.read("policy", job.policy);
    yaml.read("merge", job.can_merge);
    yaml.read("profile", profile_file);
    if (!profile_file.empty()) profile_file = (fs::path(request.job_file).parent_path() / profile_file).string();
    yaml.require("pipelines");
    for (YamlSection& section : yaml.list("pipelines")) drafts.push_back(read_draft(section));
    if (yaml.has("pipelines") && (drafts.empty() || drafts.size() > 64)) {
      yaml.add_error("pipelines", "needs 1 to 64 pipelines");
    }
    yaml.finish();
    if (const std::string errors = yaml.errors(); !errors.empty()) return Error(ErrorCode::kInvalidArgument, errors);
  } else {
    JIGSAW_ASSIGN_OR_RETURN(const Job real, read_job_file(request.job_file, request.settings));
    seed = real.config.seed;
    job.num_workers = std::max(1, real.config.workers);
    job.policy = real.config.policy;
    job.can_merge = real.config.merge;
    profile_file = real.config.profile.string();
    for (const PipelineConfig& pipeline : real.config.pipelines)
      drafts.push_back({to_spec(pipeline, real.config.bins), pipeline.name});
  }
  if (request.workers > 0) job.num_workers = request.workers;
  if (!request.policy.empty()) job.policy = request.policy;
  if (!request.profile.empty()) profile_file = request.profile;
  if (profile_file.empty()) {
    return Error(ErrorCode::kInvalidArgument,
                 request.job_file +
                     ": a simulation needs a profile: give --profile FILE, such as "
                     "configs/profiles/h100-tp4.yaml, or one that `jigsaw profile` has measured");
  }
  JIGSAW_ASSIGN_OR_RETURN(job.profile, Profile::load(profile_file));
  for (const Draft& draft : drafts) {
    auto pipeline = make_pipeline(draft, job.profile, seed, job.num_workers);
    if (!pipeline.ok()) return pipeline.error().with_context("pipeline '" + draft.spec.name + "'");
    job.pipelines.push_back(*std::move(pipeline));
  }
  return job;
}

}  // namespace jigsaw::cli
