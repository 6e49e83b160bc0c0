// A job for the simulator: pipelines that name a workload of a profile, or a real job whose pipelines were measured by
// `jigsaw profile` under their own names.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/result.h"
#include "examples/cli/run_job.h"
#include "scheduler/cost/profile.h"
#include "scheduler/simulator/simulator.h"

namespace jigsaw::cli {

struct SimulationRequest {
  std::string job_file;
  int workers = -1;     // -1: what the job says
  std::string policy;   // empty: what the job says
  std::string profile;  // empty: what the job says
  std::vector<std::string> settings{};
};

// What --workers, --policy and --set say of a run, for its simulation on a profile.
SimulationRequest simulation_of(const RunRequest& run, const std::string& profile);

struct SimulatedJob {
  int num_workers = 1;
  std::string policy;
  bool can_merge = true;  // job key `merge`
  Profile profile;
  std::vector<SimulatedPipeline> pipelines;

  Capacity capacity() const;
};

// Whether the pipelines of this job name workloads of a profile. False also when the file cannot be read.
bool names_workloads(const std::string& job_file);
Result<SimulatedJob> read_simulated_job(const SimulationRequest& request);

}  // namespace jigsaw::cli
