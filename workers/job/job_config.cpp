#include "workers/job/job_config.h"

#include <fstream>
#include <set>
#include <sstream>

#include "core/config/yaml_section.h"
#include "workers/job/pipeline_rules.h"
#include "workers/job/pipeline_sections.h"

namespace jigsaw {
namespace {

constexpr int kWorkersMax = 4096;
constexpr int kPipelinesMax = 64;

bool is_plain_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && name[0] != '.' &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
             std::string::npos;
}

PipelineConfig read_pipeline(YamlSection& yaml, std::uint64_t job_seed, const std::filesystem::path& folder) {
  PipelineConfig pipeline;
  yaml.require("name");
  yaml.read("name", pipeline.name);
  if (yaml.has("workload")) {
    yaml.add_error("workload", "is of simulated pipelines: use `jigsaw simulate` or `jigsaw compare --simulate`");
  }
  if (!is_plain_name(pipeline.name)) {
    yaml.add_error("name", "must be 1 to 64 letters, digits, '_', '-' or '.': folders are named after it");
  }
  pipeline.seed = pipeline_seed(job_seed, pipeline.name);
  pipeline.staleness = read_staleness(yaml);
  read_model(yaml, pipeline, folder);
  read_task(yaml, pipeline, folder);
  read_reward(yaml, pipeline, folder);
  read_tool(yaml, pipeline, folder);
  read_algorithm(yaml, pipeline);
  read_rollout(yaml, pipeline);
  read_train(yaml, pipeline);
  YamlSection checkpoint = yaml.section("checkpoint");
  checkpoint.read("every", pipeline.checkpoint.every, 0);
  checkpoint.read("keep", pipeline.checkpoint.keep, 1);
  checkpoint.finish();
  yaml.read("weight", pipeline.weight, 1e-3, 1e3);
  double deadline_s = 0;
  yaml.read("deadline", deadline_s, 0, 1e7);
  yaml.read("latency_cap", pipeline.latency_cap, 1, 1e3);
  pipeline.deadline = std::chrono::milliseconds(static_cast<std::int64_t>(deadline_s * 1000));
  check_fit(yaml, pipeline);
  yaml.finish();
  return pipeline;
}

void read_bins(YamlSection& yaml, TokenBins& bins) {
  YamlSection section = yaml.section("bins");
  section.read("tail_below", bins.tail_below, 1, 1 << 20);
  section.read("wide_from", bins.wide_from, 1, 1 << 20);
  if (bins.wide_from <= bins.tail_below) {
    section.add_error(section.has("wide_from") ? "wide_from" : "tail_below",
                      "wide_from (" + std::to_string(bins.wide_from) + ") must be above tail_below (" +
                          std::to_string(bins.tail_below) + ")");
  }
  section.finish();
}

}  // namespace

ModelConfig small_model() {
  ModelConfig model;
  model.family = "llama";
  model.hidden_size = 64;
  model.num_layers = 2;
  model.num_heads = 4;
  model.tied_embeddings = true;
  return model;
}

Result<Job> read_job(const std::string& text, const std::filesystem::path& name,
                     const std::vector<std::string>& settings) {
  JIGSAW_ASSIGN_OR_RETURN(YamlSection yaml, YamlSection::parse(text, name.string()));
  JIGSAW_RETURN_IF_ERROR(yaml.set_all(settings));
  Job job;
  JobConfig& config = job.config;
  yaml.read("seed", config.seed);
  yaml.read("workers", config.workers, 0, kWorkersMax);
  yaml.read("threads_per_worker", config.threads_per_worker, 0, 1024);
  yaml.read("policy", config.policy);
  yaml.read("bind_cores", config.bind_cores);
  yaml.read("merge", config.merge);
  std::string merge_by = "auto";
  yaml.read_choice("merge_by", merge_by, {"auto", "recompute", "kv_copy"});
  config.merge_by = merge_by == "recompute" ? MergeBy::kRecompute
                    : merge_by == "kv_copy" ? MergeBy::kKvCopy
                                            : MergeBy::kAuto;
  std::string profile;
  yaml.read("profile", profile);
  if (!profile.empty()) config.profile = name.parent_path() / profile;  // an absolute one stays what it is
  double memory_gb = 0, timeout_s = 60;
  yaml.read("memory_gb_per_worker", memory_gb, 0, 1e6);
  yaml.read("worker_timeout_s", timeout_s, 1, 1e6);
  config.memory_bytes_per_worker = static_cast<std::uint64_t>(memory_gb * (1 << 30));
  config.worker_timeout = std::chrono::milliseconds(static_cast<std::int64_t>(timeout_s * 1000));
  read_bins(yaml, config.bins);
  yaml.require("pipelines");
  std::set<std::string> names;
  for (YamlSection& section : yaml.list("pipelines")) {
    config.pipelines.push_back(read_pipeline(section, config.seed, name.parent_path()));
    if (!names.insert(config.pipelines.back().name).second) {
      section.add_error("name", "'" + config.pipelines.back().name + "' is the name of another pipeline already");
    }
  }
  if (yaml.has("pipelines") && config.pipelines.empty()) yaml.add_error("pipelines", "needs at least one pipeline");
  if (config.pipelines.size() > kPipelinesMax) yaml.add_error("pipelines", "more than 64 pipelines");
  yaml.finish();
  if (const std::string errors = yaml.errors(); !errors.empty()) return Error(ErrorCode::kInvalidArgument, errors);
  job.yaml = yaml.to_yaml();
  return job;
}

Result<Job> extended_job(const Job& job, const std::filesystem::path& name, const std::string& yaml,
                         const std::filesystem::path& file) {
  JIGSAW_ASSIGN_OR_RETURN(YamlSection added, YamlSection::parse(yaml, file.string()));
  added.require("pipelines");
  std::set<std::string> names;
  for (const PipelineConfig& pipeline : job.config.pipelines) names.insert(pipeline.name);
  std::vector<YamlSection> sections = added.list("pipelines");
  if (added.has("pipelines") && sections.empty()) added.add_error("pipelines", "needs at least one pipeline");
  for (YamlSection& section : sections) {
    const PipelineConfig pipeline = read_pipeline(section, job.config.seed, name.parent_path());
    if (!names.insert(pipeline.name).second) {
      section.add_error("name", "'" + pipeline.name + "' is the name of another pipeline already");
    }
  }
  added.finish();
  if (const std::string errors = added.errors(); !errors.empty()) return Error(ErrorCode::kInvalidArgument, errors);
  JIGSAW_ASSIGN_OR_RETURN(YamlSection all, YamlSection::parse(job.yaml, name.string()));
  all.append_items("pipelines", added);
  return read_job(all.to_yaml(), name);
}

Result<Job> read_job_file(const std::filesystem::path& file, const std::vector<std::string>& settings) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return Error(ErrorCode::kNotFound, file.string() + ": cannot read this job file");
  std::ostringstream text;
  text << stream.rdbuf();
  return read_job(text.str(), file, settings);
}

}  // namespace jigsaw
