#include "workers/profiling/quantum_rate.h"

#include <memory>

#include "core/check.h"
#include "workers/executor.h"

namespace jigsaw {

Result<Rates> measure_rates(Executor& executor, const Clock& clock, std::function<Status(Lane&)> first,
                            std::function<Status(Lane&)> second, double share, RateWindow window) {
  CHECK(executor.empty() && share > 0 && share < 1);
  QuantumRate rates[2];
  const bool has_second = static_cast<bool>(second);
  executor.start(1, 0, share, std::make_unique<RepeatedStage>(std::move(first), rates[0], clock));
  if (has_second) executor.start(2, 1, 1 - share, std::make_unique<RepeatedStage>(std::move(second), rates[1], clock));
  const Clock::TimePoint begin = clock.now();
  Status status = ok_status();
  for (bool is_over = false; !is_over && status.ok();) {
    if (const Result<bool> step = executor.step(); !step.ok()) status = step.error();
    const double seconds = std::chrono::duration<double>(clock.now() - begin).count();
    const bool has_enough = rates[0].num_begun() >= QuantumRate::kBeginsAtLeast &&
                            (!has_second || rates[1].num_begun() >= QuantumRate::kBeginsAtLeast);
    is_over = seconds >= window.seconds_max || (has_enough && seconds >= window.seconds);
  }
  executor.cancel(0);
  executor.cancel(1);
  // Accounts for the quanta that have just ended; nothing runs any more.
  while (!executor.empty()) {
    if (const Result<bool> step = executor.step(); !step.ok() && status.ok()) status = step.error();
    (void)executor.take_done();
  }
  if (!status.ok()) return status.error();
  return Rates{rates[0].per_second(), rates[1].per_second()};
}

}  // namespace jigsaw
