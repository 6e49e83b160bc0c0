#include "workers/stages/logprob_stage.h"

#include "workers/stages/training_samples.h"

namespace jigsaw {

LogprobStage::LogprobStage(PipelineRuntime& runtime, const wire::LogprobWork& work) : runtime_(runtime) {
  for (const wire::Trajectory& trajectory : work.trajectories()) {
    samples_.push_back(to_training_sample(trajectory));
    scored_.emplace_back().set_sample(trajectory.sample());
  }
}

Status LogprobStage::run_quantum(Lane& lane) {
  std::size_t end = next_, tokens = 0;
  while (end < samples_.size() &&
         (end == next_ || tokens + samples_[end].tokens.size() <=
                              static_cast<std::size_t>(runtime_.config().train.micro_batch_tokens))) {
    tokens += samples_[end++].tokens.size();
  }
  const auto pack = std::span<const TrainingSample>(samples_).subspan(next_, end - next_);
  JIGSAW_ASSIGN_OR_RETURN(const auto logprobs, runtime_.trainer().score(lane, pack, runtime_.reference()));
  for (std::size_t i = 0; i < pack.size(); ++i) {
    for (const float logprob : for_each_completion_token(pack[i], logprobs[i])) {
      scored_[next_ + i].add_ref_logprobs(logprob);
    }
  }
  next_ = end;
  if (done()) runtime_.on_training_ended();
  return ok_status();
}

void LogprobStage::fill(wire::NodeDone& done) {
  for (wire::Trajectory& scored : scored_) *done.add_trajectories() = std::move(scored);
}

bool LogprobStage::cancel() {
  next_ = samples_.size();
  return true;
}

}  // namespace jigsaw
