#include "workers/api/pipeline.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "core/wire/drawn_tokens.h"
#include "graph/graph.h"
#include "workers/api/environment_reward.h"
#include "workers/api/environment_task.h"
#include "workers/api/environment_tool.h"
#include "workers/job/pipeline_rules.h"
#include "workers/pipeline_runtime.h"
#include "workers/stages/logprob_stage.h"
#include "workers/stages/rollout_stage.h"
#include "workers/stages/update_stage.h"

namespace jigsaw {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kWorker = 1;  // the only one

using Trajectories = std::vector<wire::Trajectory>;  // of a step, by sample

Result<PipelineConfig> config_of(const PipelineOptions& options) {
  PipelineConfig config;
  config.name = options.name;
  config.seed = pipeline_seed(options.seed, options.name);
  config.model = options.model;
  config.scratch = options.scratch;
  config.algorithm = options.algorithm;
  config.rollout = options.rollout;
  config.tool = options.tool;
  config.tool.type = config.tool.call_end.empty() ? "" : "environment";
  config.train = options.train;
  derive_sizes(config.scratch.config);
  derive_settings(config);
  std::string problems;
  const auto add = [&problems](const std::string& problem) { problems += (problems.empty() ? "" : "\n") + problem; };
  if (const std::string& tokenizer = config.scratch.tokenizer; config.from_scratch()) {
    if (tokenizer != "character" && tokenizer != "byte") {
      add("scratch.tokenizer: '" + tokenizer + "' is neither 'character' nor 'byte'");
    } else if (tokenizer == "character" && config.scratch.alphabet.empty()) {
      add("scratch.alphabet: is empty; give the characters that prompts and completions consist of, or set "
          "scratch.tokenizer to 'byte'");
    }
  }
  for (const ConfigProblem& problem : find_problems(config)) add(problem.section + "." + problem.message);
  if (!problems.empty()) return Error(ErrorCode::kInvalidArgument, problems);
  return config;
}

Status run(SubStage& stage, Lane& lane) {
  while (!stage.done()) {
    JIGSAW_RETURN_IF_ERROR(stage.poll());
    if (stage.runnable()) JIGSAW_RETURN_IF_ERROR(stage.run_quantum(lane));
  }
  return ok_status();
}

wire::NodeDone outcome_of(SubStage& stage) {
  wire::NodeDone done;
  stage.fill(done);
  return done;
}

Result<Trajectories> roll_out(PipelineRuntime& runtime, std::int64_t step, Lane& lane) {
  Trajectories trajectories(static_cast<std::size_t>(runtime.config().samples_per_step()));
  wire::RolloutWork work;
  work.set_policy_version(runtime.rollout_version());
  for (std::uint32_t sample = 0; sample < trajectories.size(); ++sample) work.add_samples(sample);
  const auto on_trajectory = [&trajectories](wire::Trajectory trajectory) {
    const std::uint32_t sample = trajectory.sample();
    trajectories[sample] = std::move(trajectory);
    return ok_status();
  };
  RolloutListener listener;
  listener.on_trajectory = on_trajectory;
  JIGSAW_ASSIGN_OR_RETURN(const auto stage,
                          RolloutStage::create(runtime, step, work, TokenBins(), std::move(listener)));
  if (const Status status = run(*stage, lane); !status.ok()) {
    stage->cancel();
    return status.error();
  }
  return trajectories;
}

Status add_reference_logprobs(PipelineRuntime& runtime, Trajectories& trajectories, Lane& lane) {
  wire::LogprobWork work;
  work.mutable_trajectories()->Add(trajectories.begin(), trajectories.end());
  LogprobStage stage(runtime, work);
  JIGSAW_RETURN_IF_ERROR(run(stage, lane));
  const wire::NodeDone outcome = outcome_of(stage);
  for (const wire::Trajectory& scored : outcome.trajectories()) {
    *trajectories[scored.sample()].mutable_ref_logprobs() = scored.ref_logprobs();
  }
  return ok_status();
}

Result<wire::UpdateStats> update(PipelineRuntime& runtime, const Trajectories& trajectories, int update, Lane& lane) {
  const PipelineConfig& config = runtime.config();
  PipelineSpec spec;
  spec.prompts_per_step = config.rollout.prompts_per_step;
  spec.group_size = config.rollout.group_size;
  spec.updates_per_step = config.train.updates_per_step;
  const auto [begin, end] = update_samples(spec, update);
  wire::UpdateWork work;
  work.set_update(runtime.trainer().version());
  work.mutable_trajectories()->Add(trajectories.begin() + begin, trajectories.begin() + end);
  for (const std::uint32_t owner : slot_owners(config.train.grad_slots, 1)) work.add_slot_owner(owner);
  JIGSAW_ASSIGN_OR_RETURN(const auto stage, UpdateStage::create(runtime, kWorker, work));
  JIGSAW_RETURN_IF_ERROR(run(*stage, lane));
  return outcome_of(*stage).update();
}

Result<StepStats> run_step(PipelineRuntime& runtime, std::int64_t step, Lane& lane) {
  JIGSAW_ASSIGN_OR_RETURN(Trajectories trajectories, roll_out(runtime, step, lane));
  if (runtime.config().needs_reference()) {
    JIGSAW_RETURN_IF_ERROR(add_reference_logprobs(runtime, trajectories, lane));
  }
  StepStats stats;
  stats.step = step;
  for (const wire::Trajectory& trajectory : trajectories) {
    stats.reward_mean += trajectory.reward();
    stats.tokens += num_drawn_tokens(trajectory);
  }
  stats.reward_mean /= static_cast<double>(trajectories.size());
  const int num_updates = runtime.config().train.updates_per_step;
  for (int i = 0; i < num_updates; ++i) {
    JIGSAW_ASSIGN_OR_RETURN(const wire::UpdateStats updated, update(runtime, trajectories, i, lane));
    double loss = 0;
    for (const wire::LossStats& losses : updated.losses()) loss += losses.loss();
    stats.loss += loss / num_updates;
    stats.grad_norm += updated.grad_norm() / num_updates;
    stats.weights_hash = updated.weights_hash();
  }
  return stats;
}

}  // namespace

Pipeline::Pipeline(std::unique_ptr<PipelineRuntime> runtime) : runtime_(std::move(runtime)) {}
Pipeline::~Pipeline() = default;

Result<std::unique_ptr<Pipeline>> Pipeline::create(const PipelineOptions& options, Environment& environment) {
  JIGSAW_ASSIGN_OR_RETURN(const PipelineConfig config, config_of(options));
  PipelineRuntime::Surroundings surroundings{.task = make_environment_task(environment),
                                             .reward = make_environment_reward(environment)};
  if (config.tool.any()) surroundings.tool = make_environment_tool(environment);
  JIGSAW_ASSIGN_OR_RETURN(auto runtime, PipelineRuntime::create(config, std::move(surroundings), options.resume_from,
                                                                make_local_exchange()));
  if (runtime->trainer().version() % config.train.updates_per_step != 0) {
    return Error(ErrorCode::kInvalidArgument, options.resume_from.string() + ": was saved after " +
                                                  std::to_string(runtime->trainer().version()) +
                                                  " updates, of which train.updates_per_step (" +
                                                  std::to_string(config.train.updates_per_step) + ") is no divisor");
  }
  return std::unique_ptr<Pipeline>(new Pipeline(std::move(runtime)));
}

Result<StepStats> Pipeline::step(Lane& lane) {
  if (failure_) return *failure_;
  if (!runtime_->engine().idle()) {
    return Error(ErrorCode::kInvalidArgument,
                 "Pipeline::step(): its engine has requests under way; run engine().step() until it is idle");
  }
  Result<StepStats> stats = run_step(*runtime_, steps_done() + 1, lane);
  if (!stats.ok()) failure_ = stats.error();
  return stats;
}

std::int64_t Pipeline::steps_done() const {
  return runtime_->trainer().version() / runtime_->config().train.updates_per_step;
}

std::string Pipeline::weights_hash() const { return runtime_->weights().hash(); }

Status Pipeline::save(const fs::path& folder) const {
  if (runtime_->trainer().version() % runtime_->config().train.updates_per_step != 0) {
    return Error(ErrorCode::kInvalidArgument, folder.string() + ": not written: step " +
                                                  std::to_string(steps_done() + 1) +
                                                  " failed between two updates; a resume could not go on the same");
  }
  fs::path target = fs::absolute(folder).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();  // "folder/"
  const nlohmann::json state{{"pipeline", runtime_->config().name}, {"step", steps_done()}};
  return runtime_->save_checkpoint(target, state.dump());
}

RolloutEngine& Pipeline::engine() { return runtime_->engine(); }
Trainer& Pipeline::trainer() { return runtime_->trainer(); }
const Tokenizer& Pipeline::tokenizer() const { return runtime_->tokenizer(); }
const PolicyWeights& Pipeline::weights() const { return runtime_->weights(); }

}  // namespace jigsaw
