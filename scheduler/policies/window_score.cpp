#include "scheduler/policies/window_score.h"

#include <algorithm>
#include <map>

namespace jigsaw {
namespace {

constexpr double kPenalty = 2.0;
constexpr double kSpeedsWeight = 0.1;

// A whole step of a pipeline by itself: its layers one after the other, each as long as on its slowest worker.
double step_alone_s(const Plan& plan, int pipeline, const std::vector<int>& workers) {
  std::map<std::pair<SubStageKind, int>, std::map<int, double>> layers;  // by first kind and update; by worker
  const Graph& graph = plan.window(pipeline).graph(plan.window(pipeline).last_step());
  for (const int worker : workers) {
    for (const int index : graph.nodes_on(worker)) {
      const Node& node = graph.node(index);
      const SubStageKind layer = is_rollout(node.kind) ? SubStageKind::kPrefill : node.kind;
      layers[{layer, node.update}][worker] += plan.forecast(pipeline).seconds_of(index);
    }
  }
  double sum = 0;
  for (const auto& [layer, by_worker] : layers) {
    double longest = 0;
    for (const auto& [worker, seconds] : by_worker) longest = std::max(longest, seconds);
    sum += longest;
  }
  return sum;
}

// What is left of a pipeline's job, in seconds alone, and how fast it goes beside the others (1 = alone).
struct Rest {
  double work_s, speed;
};

// Work done a second until the last pipeline ends, if all keep their speeds; who ends leaves its speed to the others,
// as far as none is faster than alone.
double throughput_of_job(std::vector<Rest> rests) {
  double work_s = 0, speeds = 0, now_s = 0;
  for (const Rest& rest : rests) {
    work_s += rest.work_s;
    speeds += rest.speed;
  }
  double left = speeds;
  std::sort(rests.begin(), rests.end(),
            [](const Rest& a, const Rest& b) { return a.work_s / a.speed < b.work_s / b.speed; });
  for (std::size_t i = 0; i < rests.size(); ++i) {
    const auto speed_of = [&](const Rest& rest) { return std::min(1.0, rest.speed * speeds / left); };
    const double step_s = std::max(0.0, rests[i].work_s / speed_of(rests[i]));
    for (std::size_t j = i; j < rests.size(); ++j) rests[j].work_s -= step_s * speed_of(rests[j]);
    now_s += step_s;
    left = std::max(1e-9, left - rests[i].speed);
  }
  return now_s > 0 ? work_s / now_s : 0;
}

}  // namespace

WindowScore::WindowScore(const Plan& plan, const Outlook& outlook)
    : plan_(plan),
      alone_s_(static_cast<std::size_t>(plan.num_pipelines())),
      step_s_(static_cast<std::size_t>(plan.num_pipelines())) {
  for (const int pipeline : outlook.pipelines()) {
    alone_s_[static_cast<std::size_t>(pipeline)] = outlook.alone_s(pipeline);
    step_s_[static_cast<std::size_t>(pipeline)] = step_alone_s(plan, pipeline, outlook.workers());
  }
}

// Of two, the other one runs
// alone from then on, so that what it still takes is what it would take alone; of more, progress goes by work.
double WindowScore::speed_of(const Prospect& prospect, int pipeline) const {
  const auto place = static_cast<std::size_t>(pipeline);
  const auto others = std::count_if(prospect.finish_s.begin(), prospect.finish_s.end(), [](double s) { return s > 0; });
  const double done_s = others <= 2 ? alone_s_[place] - (prospect.finish_s[place] - prospect.first_end_s)
                                    : alone_s_[place] * prospect.progress[place];
  return std::max(done_s / prospect.first_end_s, 1e-6);
}

double WindowScore::of(const Prospect& prospect) const {
  if (prospect.is_stuck) return -1e9;
  double penalties = 0, speeds = 0, weights = 0;
  std::vector<Rest> rests;
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    const auto place = static_cast<std::size_t>(pipeline);
    const double finish_s = prospect.finish_s[place], alone_s = alone_s_[place];
    if (finish_s <= 0 || alone_s <= 0) continue;
    const PipelineSpec& spec = plan_.spec(pipeline);
    const auto window_steps = static_cast<double>(plan_.window(pipeline).last_step() - plan_.step(pipeline) + 1);
    const auto steps_after = static_cast<double>(spec.steps - plan_.window(pipeline).last_step());
    const double speed = speed_of(prospect, pipeline);
    rests.push_back({.work_s = alone_s + steps_after * step_s_[place], .speed = speed});
    speeds += spec.weight * speed;
    weights += spec.weight;
    if (spec.latency_cap > 0) penalties += std::max(0.0, 1 / (speed * spec.latency_cap) - 1);
    if (spec.deadline.count() > 0) {
      const double deadline_s = window_steps * std::chrono::duration<double>(spec.deadline).count();
      penalties += std::max(0.0, finish_s / deadline_s - 1);
    }
  }
  if (rests.empty()) return 0;
  return throughput_of_job(std::move(rests)) + kSpeedsWeight * speeds / weights - kPenalty * penalties;
}

}  // namespace jigsaw
