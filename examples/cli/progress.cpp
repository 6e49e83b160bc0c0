#include "examples/cli/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace jigsaw::cli {
namespace {

constexpr double kNewest = 0.2;  // weight of the newest step in moving means
constexpr std::chrono::seconds kPlainLineEvery{2};
constexpr int kBarCells = 20;

std::string duration(double seconds) {
  const auto whole = static_cast<long long>(seconds + 0.5);
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string rate(double tokens_per_s) {
  return tokens_per_s >= 10000 ? fmt::format("{:.0f}k tok/s", tokens_per_s / 1000)
                               : fmt::format("{:.0f} tok/s", tokens_per_s);
}

void write(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

Progress::Progress(const std::vector<PipelineSpec>& specs, const std::vector<std::int64_t>& steps_done, bool terminal,
                   int columns, const Clock& clock)
    : terminal_(terminal), columns_(columns), clock_(clock) {
  for (std::size_t i = 0; i < specs.size(); ++i) add(specs[i], steps_done[i]);
}

void Progress::add(const PipelineSpec& spec, std::int64_t steps_done) {
  name_width_ = std::max(name_width_, spec.name.size());
  Bar& bar = bars_.emplace_back();
  bar.step = steps_done;
  bar.steps_total = spec.steps;
  specs_.push_back(spec);
}

Status Progress::on_added(const Addition& addition) {
  drawn_ = false;  // what is drawn stays where it is: there are more bars from now on
  for (const PipelineSpec& spec : addition.specs) add(spec, 0);
  return ok_status();
}

Status Progress::on_step(const StepReport& report) {
  Bar& bar = bars_[static_cast<std::size_t>(report.pipeline)];
  const double tokens_per_s = report.step_s > 0 ? static_cast<double>(report.completion_tokens) / report.step_s : 0;
  const auto blend = [&](double& mean, double value) { mean = bar.any ? mean + kNewest * (value - mean) : value; };
  blend(bar.reward, report.reward_mean);
  blend(bar.step_s, report.step_s);
  blend(bar.tokens_per_s, tokens_per_s);
  if (!bar.any) bar.reward_first = report.reward_mean;
  bar.any = true;
  bar.step = report.step;
  bar.samples_done = 0;
  if (!terminal_) print_plain(bar, report, specs_[static_cast<std::size_t>(report.pipeline)].name);
  return ok_status();
}

void Progress::print_plain(Bar& bar, const StepReport& report, const std::string& name) {
  const bool last = report.step == report.steps_total;
  if (!last && bar.last_line != Clock::TimePoint{} && clock_.now() - bar.last_line < kPlainLineEvery) return;
  bar.last_line = clock_.now();
  std::string line = fmt::format("{:<{}}  step {}/{}  reward {:.3f}  {}  step {:.2f} s", name, name_width_, report.step,
                                 report.steps_total, report.reward_mean, rate(bar.tokens_per_s), report.step_s);
  if (!last) line += fmt::format("  {} left", duration(bar.step_s * static_cast<double>(bar.steps_total - bar.step)));
  if (report.reward_errors > 0)
    line += fmt::format("  ({} rewards failed: {})", report.reward_errors, report.reward_error);
  if (report.tool_errors > 0)
    line += fmt::format("  (tools failed in {} completions: {})", report.tool_errors, report.tool_error);
  write(line + "\n");
}

Status Progress::on_checkpoint(int, std::int64_t, const std::string&) { return ok_status(); }

void Progress::on_sample(int pipeline, std::int64_t, int done, int total) {
  Bar& bar = bars_[static_cast<std::size_t>(pipeline)];
  bar.samples_done = done;
  bar.samples_total = total;
}

void Progress::on_tick() {
  if (terminal_) redraw();
}

std::string Progress::bar_line(const std::string& name, const Bar& bar) const {
  const double share = bar.steps_total > 0 ? static_cast<double>(bar.step) / static_cast<double>(bar.steps_total) : 1;
  const int full = static_cast<int>(share * kBarCells);
  std::string cells;
  for (int i = 0; i < kBarCells; ++i) cells += i < full ? "█" : "░";
  std::string tail = fmt::format(" step {}/{}", bar.step, bar.steps_total);
  if (bar.any) {
    tail += fmt::format("  reward {:.3f} (first {:.3f})  {}", bar.reward, bar.reward_first, rate(bar.tokens_per_s));
  }
  if (bar.step == bar.steps_total) {
    tail += "  done";
  } else {
    if (bar.any)
      tail += fmt::format("  {} left", duration(bar.step_s * static_cast<double>(bar.steps_total - bar.step)));
    if (bar.samples_done > 0) tail += fmt::format("  rollout {}/{}", bar.samples_done, bar.samples_total);
  }
  // Too long a line would wrap and spoil the redrawing; the bar's cells are one column each.
  const int room = columns_ - static_cast<int>(name_width_) - kBarCells - 2;
  if (room > 0 && static_cast<int>(tail.size()) > room) tail.resize(static_cast<std::size_t>(room));
  return fmt::format("{:<{}} {}{}", name, name_width_, cells, tail);
}

void Progress::redraw() {
  std::string text;
  if (drawn_) text += fmt::format("\x1b[{}A", bars_.size());
  for (std::size_t i = 0; i < bars_.size(); ++i) text += "\r\x1b[2K" + bar_line(specs_[i].name, bars_[i]) + "\n";
  drawn_ = true;
  write(text);
}

void Progress::finish() {
  if (terminal_) redraw();
}

void print_summary(const RunSummary& summary, const std::string& out_folder) {
  std::string text = fmt::format("\n{} in {} under policy '{}'\n\n", summary.interrupted ? "Stopped early" : "Done",
                                 duration(summary.wall_s), summary.policy);
  std::size_t width = 8;
  for (const PipelineSummary& pipeline : summary.pipelines) width = std::max(width, pipeline.name.size());
  text += fmt::format("  {:<{}}  {:>6}  {:>18}  {:>10}  {:>9}  {}\n", "pipeline", width, "steps", "reward first>last",
                      "tokens", "s/step", "weights");
  for (const PipelineSummary& pipeline : summary.pipelines) {
    text += fmt::format("  {:<{}}  {:>6}  {:>18}  {:>10}  {:>9.3f}  {}\n", pipeline.name, width, pipeline.steps,
                        fmt::format("{:.3f} > {:.3f}", pipeline.reward_first, pipeline.reward_last), pipeline.tokens,
                        pipeline.step_s_mean, pipeline.weights_hash.substr(0, 12));
  }
  text += fmt::format("\n  {} tokens, {}; workers busy {:.0f} % of the time; {} decisions, {:.0f} us at the median\n",
                      summary.tokens, rate(summary.tokens_per_s), summary.worker_busy_share * 100, summary.decisions,
                      summary.decision_us_p50);
  if (!out_folder.empty()) text += fmt::format("  models, metrics and trajectories: {}\n", out_folder);
  if (summary.interrupted) text += "  go on with the same command and --resume\n";
  write(text);
}

}  // namespace jigsaw::cli
