#include "scheduler/co_run.h"

namespace jigsaw {

void update_rates(Plan& plan, int worker, const SlowdownTable& slowdown, Clock::TimePoint now) {
  std::vector<SubStageKind> kinds;
  std::vector<double> shares;
  for (const NodeRef ref : plan.running_on(worker)) {
    kinds.push_back(plan.node(ref).kind);
    shares.push_back(plan.share(ref));
  }
  const std::vector<double> rates = slowdown.rates(kinds, shares);
  for (std::size_t i = 0; i < rates.size(); ++i) plan.set_rate(plan.running_on(worker)[i], rates[i], now);
}

}  // namespace jigsaw
