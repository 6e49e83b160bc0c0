// The part of the controller that takes in pipelines while the run goes on (scheduler/controller.h). Workers load them
// beside what they do; when all have, everybody comes to rest and a new plan is made, as after a loss. What the others
// train stays what it is, and so does what the new ones train: as if they had been in the job from the start.
#include "core/log.h"
#include "scheduler/controller.h"

namespace jigsaw {
namespace {

std::string names_of_pipelines(const std::vector<PipelineSpec>& specs) {
  std::string names;
  for (const PipelineSpec& spec : specs) names += (names.empty() ? "" : ", ") + spec.name;
  return names;
}

}  // namespace

Status Controller::begin_add(const std::string& yaml, const std::string& file) {
  if (!options_.extend) return Error(ErrorCode::kUnsupported, "this run takes in no pipelines");
  if (stopping_ || plan_.all_done()) return Error(ErrorCode::kUnavailable, "the run is about to end");
  if (adding_) {
    return Error(ErrorCode::kUnavailable, "the workers are loading " + names_of_pipelines(adding_->addition.specs) +
                                              "; try again when they have");
  }
  if (joining_) {
    return Error(ErrorCode::kUnavailable,
                 "worker " + std::to_string(joining_->worker) + " is joining; try again when it is in");
  }
  JIGSAW_ASSIGN_OR_RETURN(Addition addition, options_.extend(options_.job_yaml, yaml, file));
  std::vector<MemoryNeeds> needs;
  std::vector<std::string> names;
  for (const auto* specs : {&specs_, &addition.specs}) {
    for (const PipelineSpec& spec : *specs) {
      needs.push_back(spec.memory);
      names.push_back(spec.name);
    }
  }
  JIGSAW_RETURN_IF_ERROR(MemoryLedger(std::move(needs), options_.memory_bytes_per_worker).admit(names));
  wire::ToWorker message;
  message.mutable_extend()->set_job_yaml(addition.job_yaml);
  message.mutable_extend()->set_job_name(options_.job_name);
  log_info("pipeline.loading", "pipelines=\"{}\"", names_of_pipelines(addition.specs));
  adding_ = Adding{.addition = std::move(addition), .deadline = clock_.now() + options_.start_timeout};
  for (const PeerId worker : living_) members_.at(worker).loading = true;
  return send_to_living(message);
}

Status Controller::on_extended(PeerId from, const wire::Extended& extended) {
  if (!members_.at(from).loading) return Error(ErrorCode::kCorrupt, "has loaded pipelines that nobody asked it to");
  members_.at(from).loading = false;
  if (!extended.error().empty()) {
    adding_->problem = "worker " + std::to_string(from) + ": " + extended.error();
    return ok_status();
  }
  const auto expected = static_cast<int>(adding_->addition.specs.size());
  if (extended.weights_hash_size() != expected || extended.policy_version_size() != expected)
    return Error(ErrorCode::kCorrupt, "knows another number of pipelines");
  adding_->loaded[from] = extended;
  return ok_status();
}

Status Controller::go_on_adding() {
  if (!adding_ || adding_->is_loaded) return ok_status();
  for (const PeerId worker : members_.living()) {
    if (!members_.at(worker).loading) continue;
    if (clock_.now() < adding_->deadline) return ok_status();
    return lose(worker, "it has not loaded the new pipelines in time");
  }
  if (stopping_) adding_->problem = "the run is about to end";
  for (const PeerId worker : living_) {
    if (adding_->problem.empty()) check_first_weights(worker);
  }
  if (!adding_->problem.empty()) return give_up_adding();
  adding_->is_loaded = true;
  return quiesce();
}

// Against those of the first worker.
void Controller::check_first_weights(PeerId worker) {
  const wire::Extended &first = adding_->loaded.at(living_.front()), &its = adding_->loaded.at(worker);
  for (int i = 0; i < first.weights_hash_size(); ++i) {
    if (its.weights_hash(i) == first.weights_hash(i)) continue;
    adding_->problem = "worker " + std::to_string(worker) + " has other first weights of pipeline '" +
                       adding_->addition.specs[static_cast<std::size_t>(i)].name +
                       "' than another worker: do all machines see the same model files?";
  }
}

Status Controller::give_up_adding() {
  for (const PipelineSpec& spec : adding_->addition.specs) not_added_[spec.name] = adding_->problem;
  log_warning("pipeline.not_added", "pipelines=\"{}\" reason=\"{}\"", names_of_pipelines(adding_->addition.specs),
              adding_->problem);
  adding_.reset();
  wire::ToWorker message;
  message.mutable_forget()->set_first_pipeline(static_cast<std::uint32_t>(plan_.num_pipelines()));
  return send_to_living(message);
}

// At rest, before the plan is made that has them.
Status Controller::take_in_added() {
  if (!adding_ || !adding_->is_loaded) return ok_status();
  const Addition& addition = adding_->addition;
  const wire::Extended& loaded = adding_->loaded.at(living_.front());
  if (const Status status = observer_.on_added(addition); !status.ok()) {
    adding_->problem = status.error().message();
    return give_up_adding();
  }
  options_.job_yaml = addition.job_yaml;
  for (std::size_t i = 0; i < addition.specs.size(); ++i) {
    const PipelineSpec& spec = addition.specs[i];
    specs_.push_back(spec);
    start_points_.emplace_back();
    costs_.push_back(measured_cost(spec.name));
    PipelineRun& run = pipelines_.emplace_back();
    run.step_begin = clock_.now();
    run.totals.weights_hash = loaded.weights_hash(static_cast<int>(i));
    run.totals.policy_version = run.first_version = loaded.policy_version(static_cast<int>(i));
    for (const PeerId worker : living_) run.progress[worker] = {.version = run.first_version, .synced_step = 0};
    not_added_.erase(spec.name);
    log_info("pipeline.added", "pipeline={} steps={}", spec.name, spec.steps);
  }
  adding_.reset();
  set_capacity();
  return ok_status();
}

}  // namespace jigsaw
