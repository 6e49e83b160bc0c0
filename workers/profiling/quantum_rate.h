// How often work gets its turn on an executor.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "core/clock.h"
#include "workers/sub_stage.h"

namespace jigsaw {

// Quanta a second, counted from begin to begin: (n - 1) / (last begin - first begin). So neither what was waited for
// before the first, nor what is under way when one stops looking, counts.
class QuantumRate {
 public:
  static constexpr std::int64_t kBeginsAtLeast = 3;  // for a rate

  // One thread at a time.
  void begin(Clock::TimePoint now) {
    if (begins_ == 0) first_ = now;
    last_ = now;
    ++begins_;
  }
  std::int64_t num_begun() const { return begins_; }  // any thread
  // 0 while there were too few. Not while quanta run.
  double per_second() const {
    const double seconds = std::chrono::duration<double>(last_ - first_).count();
    return begins_ < kBeginsAtLeast || seconds <= 0 ? 0 : static_cast<double>(begins_ - 1) / seconds;
  }

 private:
  std::atomic<std::int64_t> begins_ = 0;
  Clock::TimePoint first_{}, last_{};
};

// A sub-stage that repeats one quantum until it is cancelled.
class RepeatedStage final : public SubStage {
 public:
  // `rate` and `clock` outlive the stage.
  RepeatedStage(std::function<Status(Lane&)> quantum, QuantumRate& rate, const Clock& clock)
      : quantum_(std::move(quantum)), rate_(rate), clock_(clock) {}

  Status poll() override { return ok_status(); }
  bool runnable() const override { return !done_; }
  Status run_quantum(Lane& lane) override {
    rate_.begin(clock_.now());
    return quantum_(lane);
  }
  bool done() const override { return done_; }
  bool cancel() override { return done_ = true; }
  void fill(wire::NodeDone&) override {}
  std::string waiting_for() const override { return ""; }

 private:
  std::function<Status(Lane&)> quantum_;
  QuantumRate& rate_;
  const Clock& clock_;
  bool done_ = false;
};

class Executor;
struct RateWindow {
  double seconds = 0.3;     // of looking, at least,
  double seconds_max = 18;  // and at most; until then, kBeginsAtLeast quanta of each are waited for
};
struct Rates {
  double first = 0, second = 0;  // quanta a second; 0 = too few to tell
};
// Runs `first`, and `second` beside it unless it is empty, as sub-stages of different pipelines on an executor with
// nothing else on it. `share` is the first one's.
Result<Rates> measure_rates(Executor& executor, const Clock& clock, std::function<Status(Lane&)> first,
                            std::function<Status(Lane&)> second, double share, RateWindow window);

}  // namespace jigsaw
