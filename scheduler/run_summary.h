// summary.json (design.md section 8): the outcome of a run, a simulation or one side of a comparison.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace jigsaw {

struct PipelineSummary {
  std::string name;
  std::int64_t steps = 0;   // done in this run
  std::int64_t tokens = 0;  // completion tokens
  double step_s_mean = 0;
  double latency_factor = 1;                 // mean step time / mean time it would take with the workers to itself
  double reward_first = 0, reward_last = 0;  // means over the first and last tenth of the steps (at least one)
  std::string weights_hash;
};

struct RunSummary {
  std::string kind = "measured";  // or "simulated"
  std::string policy;
  double wall_s = 0;
  std::int64_t tokens = 0;
  double tokens_per_s = 0;
  double worker_busy_share = 0;  // time in quanta / (wall time * workers)
  std::vector<PipelineSummary> pipelines;
  std::int64_t migrations = 0, recomputed_tokens = 0, decisions = 0;
  double decision_us_p50 = 0, decision_us_p99 = 0;
  bool interrupted = false;  // stopped before all steps were done
  int workers_lost = 0, workers_joined = 0;
  // Workers or pipelines have come or gone, so that workers exchange gradients without MPI. Not in the JSON.
  bool members_have_changed = false;
};

// Number and percentiles of what decisions took, microseconds each.
void set_decision_times(RunSummary& summary, std::vector<double> decision_us);
std::string to_json(const RunSummary& summary);  // one line

}  // namespace jigsaw
