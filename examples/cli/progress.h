// How a run shows itself: a bar a pipeline that is redrawn in place on a terminal, plain lines elsewhere; to stderr.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/clock.h"
#include "graph/pipeline_spec.h"
#include "scheduler/run_observer.h"
#include "scheduler/run_summary.h"

namespace jigsaw::cli {

class Progress : public RunObserver {
 public:
  // `terminal`: whether stderr ends at one; `columns` is its width.
  Progress(const std::vector<PipelineSpec>& specs, const std::vector<std::int64_t>& steps_done, bool terminal,
           int columns, const Clock& clock = system_clock());

  Status on_step(const StepReport& report) override;
  Status on_checkpoint(int pipeline, std::int64_t step, const std::string& folder) override;
  void on_sample(int pipeline, std::int64_t step, int done, int total) override;
  void on_tick() override;
  Status on_added(const Addition& addition) override;
  // Leaves the bars as they are and goes to a fresh line.
  void finish();

 private:
  struct Bar {
    std::int64_t step = 0, steps_total = 0;
    int samples_done = 0, samples_total = 0;
    double reward_first = 0, reward = 0;  // first step's, and a moving mean
    double step_s = 0, tokens_per_s = 0;  // moving means
    bool any = false;
    Clock::TimePoint last_line;
  };
  void add(const PipelineSpec& spec, std::int64_t steps_done);
  void print_plain(Bar& bar, const StepReport& report, const std::string& name);
  std::string bar_line(const std::string& name, const Bar& bar) const;
  void redraw();

  std::vector<PipelineSpec> specs_;
  std::vector<Bar> bars_;
  std::size_t name_width_ = 0;
  bool terminal_;
  int columns_;
  const Clock& clock_;
  bool drawn_ = false;
};

// What a person reads at the end.
void print_summary(const RunSummary& summary, const std::string& out_folder);

}  // namespace jigsaw::cli
