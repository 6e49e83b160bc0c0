#include "workers/profiling/slowdown_measurement.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "core/check.h"
#include "workers/lane_set.h"
#include "workers/profiling/cost_measurement.h"
#include "workers/profiling/decode_load.h"

namespace jigsaw {
namespace {

constexpr int kTrainingTokens = 256;  // a quantum of training, so that a few fit into the window
constexpr int kPromptTokens = 16;
constexpr int kNewTokens = 64;

using Quantum = std::function<Status(Lane&)>;

// One kind of work of a pipeline, as a quantum to repeat.
struct Work {
  SubStageKind kind;
  std::function<Result<Quantum>()> make;  // the quantum holds the engine or trainer until it is gone
  double alone = 0;                       // quanta a second; 0 = too few to tell
};

Quantum engine_quantum(PipelineRuntime& runtime, int batch, int prompt_tokens, int new_tokens) {
  auto load = std::make_shared<DecodeLoad>(runtime.engine(),
                                           DecodeLoadOptions{.batch = batch,
                                                             .prompt_tokens = prompt_tokens,
                                                             .new_tokens = new_tokens,
                                                             .vocab_size = runtime.weights().config().vocab_size,
                                                             .sampling = runtime.config().rollout.sampling});
  return [load = std::move(load)](Lane& lane) -> Status {
    const auto pass = load->step(lane);
    return pass.ok() ? ok_status() : pass.error();
  };
}

// In order of how much a schedule rests on them.
std::vector<Work> works_of(const SlowdownParty& party) {
  PipelineRuntime& runtime = party.runtime;
  const EngineOptions& engine = runtime.config().rollout.engine;
  const std::vector<TrainingSample> samples(party.samples.begin(), party.samples.end());
  const int prompt = std::max(1, std::min(kPromptTokens, engine.max_positions / 4));
  const int new_tokens = std::min(kNewTokens, engine.max_positions - prompt);
  const int widest = std::min(engine.max_batch, runtime.config().samples_per_step());

  std::vector<Work> works;
  works.push_back({SubStageKind::kUpdate, [&runtime, samples]() -> Result<Quantum> {
                     JIGSAW_ASSIGN_OR_RETURN(SlotBatch batch, training_load(runtime, samples, kTrainingTokens));
                     return Quantum([&runtime, batch = std::move(batch)](Lane& lane) -> Status {
                       runtime.trainer().begin_slot(batch);
                       for (bool has_more = true; has_more;) {
                         JIGSAW_ASSIGN_OR_RETURN(has_more, runtime.trainer().run_quantum(lane));
                       }
                       return ok_status();
                     });
                   }});
  works.push_back({SubStageKind::kDecodeTail, [&runtime, prompt, new_tokens]() -> Result<Quantum> {
                     return engine_quantum(runtime, 1, prompt, new_tokens);
                   }});
  if (widest > 1) {
    works.push_back({SubStageKind::kDecodeBulk, [&runtime, widest, prompt, new_tokens]() -> Result<Quantum> {
                       return engine_quantum(runtime, widest, prompt, new_tokens);
                     }});
  }
  if (runtime.reference() != nullptr) {
    works.push_back({SubStageKind::kLogprob, [&runtime, samples]() -> Result<Quantum> {
                       JIGSAW_ASSIGN_OR_RETURN(SlotBatch batch, training_load(runtime, samples, kTrainingTokens));
                       return Quantum([&runtime, batch = std::move(batch)](Lane& lane) -> Status {
                         const auto scored = runtime.trainer().score(lane, batch.samples, runtime.reference());
                         return scored.ok() ? ok_status() : scored.error();
                       });
                     }});
  }
  const int prefilled = std::min({engine.max_step_tokens, engine.max_positions - 1, kTrainingTokens});
  works.push_back({SubStageKind::kPrefill,
                   [&runtime, prefilled]() -> Result<Quantum> { return engine_quantum(runtime, 1, prefilled, 1); }});
  return works;
}

class PairMeasurement {
 public:
  PairMeasurement(Executor& executor, const Clock& clock, const SlowdownOptions& options)
      : executor_(executor), clock_(clock), options_(options) {}

  Status measure_alone(std::vector<Work>& works) {
    for (Work& work : works) {
      JIGSAW_ASSIGN_OR_RETURN(Quantum quantum, work.make());
      JIGSAW_ASSIGN_OR_RETURN(const Rates rates,
                              measure_rates(executor_, clock_, std::move(quantum), nullptr, 0.5, options_.window));
      work.alone = rates.first;
    }
    return ok_status();
  }

  Status measure_pair(const Work& first, const Work& second) {
    if (first.alone <= 0 || second.alone <= 0) return ok_status();
    std::map<int, Rates> by_width;  // of the first one's cores
    for (const double share : options_.shares) {
      const int width = nearest_partition(options_.num_threads, share, 1 - share).first;
      auto known = by_width.find(width);
      if (known == by_width.end()) {
        JIGSAW_ASSIGN_OR_RETURN(Quantum first_quantum, first.make());
        JIGSAW_ASSIGN_OR_RETURN(Quantum second_quantum, second.make());
        JIGSAW_ASSIGN_OR_RETURN(const Rates rates, measure_rates(executor_, clock_, std::move(first_quantum),
                                                                 std::move(second_quantum), share, options_.window));
        known = by_width.emplace(width, rates).first;
      }
      const Rates& beside = known->second;
      if (beside.first <= 0 || beside.second <= 0) continue;
      measured_.push_back({.first = first.kind,
                           .second = second.kind,
                           .share = share,
                           .first_factor = first.alone / beside.first,
                           .second_factor = second.alone / beside.second});
    }
    return ok_status();
  }
  const std::vector<SlowdownMeasurement>& measured() const { return measured_; }

 private:
  Executor& executor_;
  const Clock& clock_;
  const SlowdownOptions& options_;
  std::vector<SlowdownMeasurement> measured_;
};

}  // namespace

Result<std::vector<SlowdownMeasurement>> measure_slowdowns(Executor& executor, const Clock& clock, SlowdownParty first,
                                                           SlowdownParty second, const SlowdownOptions& options) {
  CHECK(options.num_threads >= 2 && &first.runtime != &second.runtime);
  const Clock::TimePoint begin = clock.now();
  std::vector<Work> firsts = works_of(first), seconds = works_of(second);
  PairMeasurement measurement(executor, clock, options);
  JIGSAW_RETURN_IF_ERROR(measurement.measure_alone(firsts));
  JIGSAW_RETURN_IF_ERROR(measurement.measure_alone(seconds));
  std::vector<std::pair<std::size_t, std::size_t>> pairs;
  for (std::size_t i = 0; i < firsts.size(); ++i) {
    for (std::size_t j = 0; j < seconds.size(); ++j) pairs.emplace_back(i, j);
  }
  std::ranges::stable_sort(pairs, {}, [](const auto& pair) { return pair.first + pair.second; });
  for (std::size_t done = 0; done < pairs.size(); ++done) {
    if (std::chrono::duration<double>(clock.now() - begin).count() >= options.seconds_max) {
      options.on_progress("slowdowns: the time is up, " + std::to_string(pairs.size() - done) +
                          " pairs of kinds are left out");
      break;
    }
    const Work &one = firsts[pairs[done].first], &other = seconds[pairs[done].second];
    JIGSAW_RETURN_IF_ERROR(measurement.measure_pair(one, other));
    options.on_progress("slowdowns: pair " + std::to_string(done + 1) + " of " + std::to_string(pairs.size()) + ", " +
                        std::string(to_string(one.kind)) + " beside " + std::string(to_string(other.kind)));
  }
  return merged(measurement.measured());
}

}  // namespace jigsaw
