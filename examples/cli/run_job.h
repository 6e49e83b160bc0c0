// Running a job: under mpirun as one of its ranks, or all in this process.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/result.h"
#include "graph/pipeline_spec.h"
#include "scheduler/cost/profile.h"
#include "scheduler/run_summary.h"
#include "workers/job/job_config.h"

namespace jigsaw::cli {

struct RunRequest {
  std::string job_file;
  int workers = -1;    // -1: what the job says
  std::string policy;  // empty: what the job says
  std::string out;     // empty: runs/<job's file name>
  bool resume = false;
  bool json = false;                  // the summary as a line on stdout
  bool quiet = false;                 // no progress, no summary for people
  std::vector<std::string> settings;  // --set path=value
};

// Reads the job and applies the request's overrides; to be resumed, with the pipelines that were added to the run.
Result<Job> read_request(const RunRequest& request);
std::filesystem::path out_folder(const RunRequest& request);
// Of all pipelines, with the memory that their models will need.
Result<std::vector<PipelineSpec>> to_specs(const JobConfig& config);
// The job's profile; empty without one. Errors name the file.
Result<Profile> profile_of(const JobConfig& config);
// Threads of each worker.
int threads_of_worker(const JobConfig& config, int num_workers);
// Bytes that a worker may use for its pipelines.
std::uint64_t memory_limit(const JobConfig& config, int num_workers);

// This process as a rank of mpirun's. Returns the process's exit code.
int run_as_rank(const RunRequest& request);
// Starts mpirun with this program; returns its exit code.
int run_with_mpirun(const RunRequest& request, int workers);
// Controller and one worker, two threads of this process.
Result<RunSummary> run_in_process(const RunRequest& request);

}  // namespace jigsaw::cli
