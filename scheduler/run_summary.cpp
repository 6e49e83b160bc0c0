#include "scheduler/run_summary.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "core/median.h"

namespace jigsaw {

void set_decision_times(RunSummary& summary, std::vector<double> decision_us) {
  summary.decisions = static_cast<std::int64_t>(decision_us.size());
  if (decision_us.empty()) return;
  summary.decision_us_p50 = quantile(decision_us, 0.50);
  summary.decision_us_p99 = quantile(std::move(decision_us), 0.99);
}

std::string to_json(const RunSummary& summary) {
  nlohmann::ordered_json json = {{"kind", summary.kind},
                                 {"policy", summary.policy},
                                 {"wall_s", summary.wall_s},
                                 {"tokens", summary.tokens},
                                 {"tokens_per_s", summary.tokens_per_s},
                                 {"worker_busy_share", summary.worker_busy_share}};
  json["pipelines"] = nlohmann::ordered_json::array();
  for (const PipelineSummary& pipeline : summary.pipelines) {
    json["pipelines"].push_back({{"name", pipeline.name},
                                 {"steps", pipeline.steps},
                                 {"tokens", pipeline.tokens},
                                 {"step_s_mean", pipeline.step_s_mean},
                                 {"latency_factor", pipeline.latency_factor},
                                 {"reward_first", pipeline.reward_first},
                                 {"reward_last", pipeline.reward_last},
                                 {"weights_hash", pipeline.weights_hash}});
  }
  json["migrations"] = summary.migrations;
  json["recomputed_tokens"] = summary.recomputed_tokens;
  json["decisions"] = summary.decisions;
  json["decision_us_p50"] = summary.decision_us_p50;
  json["decision_us_p99"] = summary.decision_us_p99;
  json["interrupted"] = summary.interrupted;
  json["workers_lost"] = summary.workers_lost;
  json["workers_joined"] = summary.workers_joined;
  return json.dump();
}

}  // namespace jigsaw
