// What a run tells those who watch it: the recorder of the run's folder, progress displays, tests. Called from the
// controller's thread; must not block for long.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/wire/messages.pb.h"
#include "graph/pipeline_spec.h"

namespace jigsaw {

// One finished step of one pipeline. Rates and lengths are of this step; seconds are wall time unless said otherwise.
struct StepReport {
  int pipeline = 0;
  std::int64_t step = 0;  // from 1
  std::int64_t steps_total = 0;
  std::int64_t policy_version = 0;             // updates applied, this step's included
  double reward_mean = 0, reward_std = 0;      // std over the step's samples (n - 1)
  std::map<std::string, double> reward_parts;  // means, unweighted
  std::int64_t reward_errors = 0;              // samples that got the configured value instead
  std::string reward_error;                    // the first one's reason
  std::int64_t tool_calls = 0;                 // of all samples
  std::int64_t tool_errors = 0;                // samples with a call that got the configured answer instead
  std::string tool_error;                      // the first one's reason
  double loss = 0, grad_norm = 0, lr = 0;      // means over the step's updates
  double entropy = 0, kl = 0, clip_share = 0;  // means per drawn token
  std::int64_t num_samples = 0, prompt_tokens = 0, truncated = 0, recomputed_tokens = 0;
  std::int64_t completion_tokens = 0;  // that the policy has drawn: without those of tools
  double step_s = 0, rollout_s = 0, logprob_s = 0, update_s = 0;
  // Of rollout, log-probs and updates, the longest time that any worker computed or waited for rewards, added up: about
  // what the step would take with the workers to itself.
  double alone_s = 0;
  std::optional<double> prediction_error;  // |predicted - observed| / observed of the step's work
  std::string weights_hash;
  std::vector<wire::Trajectory> trajectories;  // in order of sample
};

// Pipelines that a run takes in while it is under way.
struct Addition {
  std::string job_yaml;             // of the whole job, with them
  std::string added_yaml;           // `pipelines` of all that this run has taken in so far, with them
  std::vector<PipelineSpec> specs;  // theirs
};

class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual Status on_step(const StepReport& report) = 0;  // an error ends the run
  virtual Status on_checkpoint(int pipeline, std::int64_t step, const std::string& folder) = 0;
  // A rollout has produced another completion: `done` of `total` in the running step.
  virtual void on_sample(int pipeline, std::int64_t step, int done, int total) = 0;
  // Regularly, at most every 100 ms.
  virtual void on_tick() = 0;
  // They have the next numbers, and begin now.
  virtual Status on_added(const Addition&) { return ok_status(); }
};

}  // namespace jigsaw
