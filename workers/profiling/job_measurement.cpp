#include "workers/profiling/job_measurement.h"

#include <memory>
#include <utility>

#include "core/check.h"
#include "core/clock.h"
#include "workers/executor.h"
#include "workers/pipeline_runtime.h"

namespace jigsaw {
namespace {

// A kind that got too few turns is waited for this many windows.
constexpr double kWindowsAtMost = 40;

Result<PipelineMeasurement> measure_pipeline(const PipelineConfig& config, TokenBins bins,
                                             const MeasureOptions& options) {
  JIGSAW_ASSIGN_OR_RETURN(const auto runtime, PipelineRuntime::create(config, "", make_local_exchange()));
  PipelineMeasurement measured{.name = config.name, .cost = {}, .steps = {}};
  options.on_progress(config.name + ": " + std::to_string(options.num_steps) + " real steps");
  Executor executor(options.num_threads, system_clock());
  JIGSAW_ASSIGN_OR_RETURN(measured.steps,
                          measure_steps(*runtime, executor, bins, options.num_steps, options.steps_s_max));
  options.on_progress(config.name + ": passes of the engine and of training");
  Lane lane(options.num_threads);
  JIGSAW_ASSIGN_OR_RETURN(measured.cost, measure_cost(*runtime, lane, measured.steps.samples, options.window_s));
  return measured;
}

Result<std::vector<SlowdownMeasurement>> measure_pairs(const JobConfig& config, const JobMeasurement& measured,
                                                       const MeasureOptions& options) {
  const std::vector<SlowdownMeasurement> none;
  if (options.num_threads < 2) {
    options.on_progress("slowdowns: none with one thread a worker, where sub-stages take turns");
    return none;
  }
  const std::size_t second = config.pipelines.size() > 1 ? 1 : 0;
  JIGSAW_ASSIGN_OR_RETURN(const PipelineMemory first_memory, predict_memory(config.pipelines[0]));
  JIGSAW_ASSIGN_OR_RETURN(const PipelineMemory second_memory, predict_memory(config.pipelines[second]));
  if (first_memory.total() + second_memory.total() > options.memory_bytes_max) {
    options.on_progress("slowdowns: none measured, two pipelines do not fit into a worker's memory beside each other");
    return none;
  }
  JIGSAW_ASSIGN_OR_RETURN(const auto one, PipelineRuntime::create(config.pipelines[0], "", make_local_exchange()));
  JIGSAW_ASSIGN_OR_RETURN(const auto other,
                          PipelineRuntime::create(config.pipelines[second], "", make_local_exchange()));
  Executor executor(options.num_threads, system_clock());
  SlowdownOptions slowdown_options;
  slowdown_options.num_threads = options.num_threads;
  slowdown_options.window = {.seconds = options.window_s, .seconds_max = kWindowsAtMost * options.window_s};
  slowdown_options.seconds_max = options.slowdowns_s_max;
  slowdown_options.on_progress = options.on_progress;
  return measure_slowdowns(executor, system_clock(), {*one, measured.pipelines[0].steps.samples},
                           {*other, measured.pipelines[second].steps.samples}, slowdown_options);
}

}  // namespace

Result<JobMeasurement> measure_job(const JobConfig& config, const MeasureOptions& options) {
  CHECK(!config.pipelines.empty() && options.num_threads >= 1 && options.num_steps >= 1 && options.window_s > 0);
  JobMeasurement measured;
  for (const PipelineConfig& pipeline : config.pipelines) {
    auto one = measure_pipeline(pipeline, config.bins, options);
    if (!one.ok()) return one.error().with_context("pipeline '" + pipeline.name + "'");
    measured.pipelines.push_back(*std::move(one));
  }
  JIGSAW_ASSIGN_OR_RETURN(measured.slowdowns, measure_pairs(config, measured, options));
  return measured;
}

}  // namespace jigsaw
