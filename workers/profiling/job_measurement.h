// Everything about the speed of a job's pipelines on this machine: what `jigsaw profile` measures. In this process, on
// runtimes that are made for it and thrown away.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "core/result.h"
#include "workers/job/job_config.h"
#include "workers/profiling/cost_measurement.h"
#include "workers/profiling/slowdown_measurement.h"
#include "workers/profiling/step_measurement.h"

namespace jigsaw {

struct MeasureOptions {
  int num_steps = 3;                 // real steps of each pipeline
  int num_threads = 1;               // of a worker
  std::size_t memory_bytes_max = 0;  // of a worker; two pipelines are measured together only where both fit
  double window_s = 0.3;             // of one measurement
  double steps_s_max = 300;          // of a pipeline, after which no further step begins
  double slowdowns_s_max = 60;       // after which no further pair begins
  std::function<void(const std::string&)> on_progress = [](const std::string&) {};
};

struct PipelineMeasurement {
  std::string name;
  CostMeasurement cost;
  StepMeasurement steps;
};
struct JobMeasurement {
  std::vector<PipelineMeasurement> pipelines;
  // Of the first two pipelines, or of a single one and its twin; empty with one thread, where sub-stages take turns.
  std::vector<SlowdownMeasurement> slowdowns;
};

// The calling thread is the executor thread. Errors name the pipeline.
Result<JobMeasurement> measure_job(const JobConfig& config, const MeasureOptions& options);

}  // namespace jigsaw
