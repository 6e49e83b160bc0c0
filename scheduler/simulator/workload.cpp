#include "scheduler/simulator/workload.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/philox.h"

namespace jigsaw {
namespace {

// What a draw is for: the low counter of its stream.
enum Purpose : std::uint64_t { kLength, kTurns, kToolTime };

double uniform(std::uint64_t seed, std::int64_t step, std::uint64_t item, Purpose purpose) {
  return philox_uniform(philox_key(seed, static_cast<std::uint64_t>(step), 0), item, purpose);
}

int tool_tokens_of(const WorkloadFacts& facts, int turns) {
  return static_cast<int>(std::lround(facts.tool_tokens)) * (turns - 1);
}

// Tokens that a sample decodes in turns 0 .. turn - 1 of all of its turns.
std::int64_t decoded_before(const WorkloadFacts& facts, const SampleDraw& draw, int turn) {
  const std::int64_t decoded = draw.response_tokens - tool_tokens_of(facts, draw.turns);
  return decoded * std::min(turn, draw.turns) / draw.turns;
}

// What runs once fewer than bins.tail_below do.
std::vector<TailSequence> tail_of(std::span<const SequenceLeft> sequences, const TokenBins& bins) {
  std::vector<std::int64_t> tokens;
  for (const SequenceLeft& sequence : sequences) tokens.push_back(sequence.tokens);
  std::sort(tokens.begin(), tokens.end());
  const std::int64_t ended = std::ssize(tokens) - bins.tail_below + 1;
  const std::int64_t passes = ended > 0 ? tokens[static_cast<std::size_t>(ended - 1)] : 0;
  std::vector<TailSequence> tail;
  for (const SequenceLeft& sequence : sequences) {
    if (sequence.tokens <= passes) continue;
    const auto decoded = static_cast<double>(passes);
    tail.push_back({sequence.context + decoded, decoded, static_cast<double>(sequence.tokens - passes)});
  }
  return tail;
}

class RolloutBuilder {
 public:
  RolloutBuilder(const Workload& workload, const ModelCost& model, std::size_t num_samples)
      : facts_(workload.facts()),
        bins_(workload.bins()),
        model_(model),
        has_bulk_(num_samples >= static_cast<std::size_t>(workload.bins().tail_below)) {}

  void add_turn(int turn, double tool_s, double prefill_tokens, const DecodeWork& decode) {
    WorkPart prefill = {model_.prefill_s(prefill_tokens), prefill_tokens};
    prefill += decode.wide;
    if (turn > 0) stages_.push_back({SubStageKind::kTool, turn, {tool_s, 0}});
    add_passes(SubStageKind::kPrefill, turn, prefill);
    if (has_bulk_) add_passes(SubStageKind::kDecodeBulk, turn, decode.bulk);
    add_passes(SubStageKind::kDecodeTail, turn, decode.tail);
  }

  void add_tool_turns(std::span<const SampleDraw> draws, double prompts, std::span<const double> tool_s) {
    for (int turn = 0; turn < static_cast<int>(facts_.turns.size()); ++turn) {
      std::vector<SequenceLeft> sequences;
      for (const SampleDraw& draw : draws) {
        if (draw.turns <= turn) continue;
        const std::int64_t before = decoded_before(facts_, draw, turn);
        const double context = facts_.prompt_tokens + static_cast<double>(before + tool_tokens_of(facts_, turn + 1));
        sequences.push_back({context, decoded_before(facts_, draw, turn + 1) - before});
      }
      last_turn_ = sequences;
      const double active = static_cast<double>(sequences.size());
      const double prefill = turn == 0 ? prompts * facts_.prompt_tokens : active * tool_tokens_of(facts_, 2);
      const double wait_s = turn == 0 || sequences.empty() ? 0 : tool_s[static_cast<std::size_t>(turn)];
      add_turn(turn, wait_s, prefill, decode_work(model_, std::move(sequences), bins_));
    }
  }

  void add_free_turns(std::span<const SampleDraw> draws, double prompts) {
    const int turns = static_cast<int>(facts_.turns.size());
    std::vector<SequenceLeft> sequences;
    std::vector<double> tokens(static_cast<std::size_t>(turns));
    for (const SampleDraw& draw : draws) {
      sequences.push_back({facts_.prompt_tokens, draw.response_tokens});
      for (int turn = 0; turn < draw.turns; ++turn) {
        tokens[static_cast<std::size_t>(turn)] +=
            static_cast<double>(decoded_before(facts_, draw, turn + 1) - decoded_before(facts_, draw, turn));
      }
    }
    const double all_tokens = std::accumulate(tokens.begin(), tokens.end(), 0.0);
    last_turn_ = sequences;
    const DecodeWork decode = decode_work(model_, std::move(sequences), bins_);
    for (int turn = 0; turn < turns; ++turn) {
      const double part = tokens[static_cast<std::size_t>(turn)] / all_tokens;
      DecodeWork of_turn;
      if (turn == 0) of_turn.wide = decode.wide;
      of_turn.bulk = {decode.bulk.seconds * part, decode.bulk.tokens * part};
      if (turn + 1 == turns) of_turn.tail = decode.tail;
      add_turn(turn, 0, turn == 0 ? prompts * facts_.prompt_tokens : 0, of_turn);
    }
  }

  void finish(SimulatedStep& step) && {
    stages_.push_back({SubStageKind::kReward, static_cast<int>(facts_.turns.size()) - 1, {facts_.reward_s, 0}});
    step.rollout = std::move(stages_);
    step.tail = tail_of(last_turn_, bins_);
    for (const SequenceLeft& sequence : last_turn_) {
      // What is as long as can be was most likely cut.
      const bool is_truncated = sequence.tokens >= facts_.response_max;
      step.completions.push_back({static_cast<double>(sequence.tokens), sequence.context, is_truncated});
    }
  }

 private:
  void add_passes(SubStageKind kind, int turn, WorkPart work) {
    work.seconds *= facts_.engine_overhead;
    stages_.push_back({kind, turn, work});
  }

  const WorkloadFacts& facts_;
  const TokenBins& bins_;
  const ModelCost& model_;
  bool has_bulk_;
  std::vector<SimulatedSubStage> stages_;
  std::vector<SequenceLeft> last_turn_;
};

}  // namespace

Workload::Workload(WorkloadFacts facts, TokenBins bins)
    : facts_(std::move(facts)),
      bins_(bins),
      lengths_(facts_),
      turns_sum_(std::accumulate(facts_.turns.begin(), facts_.turns.end(), 0.0)) {
  CHECK(turns_sum_ > 0);
}

PipelineSpec Workload::spec(std::string name, std::int64_t steps) const {
  PipelineSpec spec;
  spec.name = std::move(name);
  spec.steps = steps;
  spec.prompts_per_step = facts_.prompts_per_step;
  spec.group_size = facts_.group_size;
  spec.turns = max_turns();
  spec.needs_reference = facts_.old_logprob_s + facts_.ref_logprob_s > 0;
  spec.needs_sync = facts_.sync_s > 0;
  spec.bins = bins_;
  return spec;
}

SampleDraw Workload::draw_sample(std::uint64_t seed, std::int64_t step, std::uint32_t sample) const {
  SampleDraw draw{.turns = max_turns()};
  double left = uniform(seed, step, sample, kTurns) * turns_sum_;
  for (int turns = 1; turns < max_turns(); ++turns) {
    left -= facts_.turns[static_cast<std::size_t>(turns - 1)];
    if (left < 0) {
      draw.turns = turns;
      break;
    }
  }
  // Each turn decodes a token at least.
  const int least = tool_tokens_of(facts_, draw.turns) + draw.turns;
  draw.response_tokens = lengths_.response(uniform(seed, step, sample, kLength), least);
  return draw;
}

double Workload::draw_tool_s(std::uint64_t seed, std::int64_t step, int turn) const {
  const double u = uniform(seed, step, static_cast<std::uint64_t>(turn), kToolTime);
  return facts_.tool_s[0] + u * (facts_.tool_s[1] - facts_.tool_s[0]);
}

SimulatedStep draw_step(const Workload& workload, const ModelCost& model, std::uint64_t seed, std::int64_t step,
                        std::span<const std::uint32_t> samples, int num_workers) {
  CHECK(num_workers >= 1);
  const WorkloadFacts& facts = workload.facts();
  SimulatedStep result;
  result.update_s = facts.update_s / num_workers;
  result.sync_s = facts.sync_s;
  result.logprob_s =
      (facts.old_logprob_s + facts.ref_logprob_s) * static_cast<double>(samples.size()) / facts.samples_per_step();
  if (samples.empty()) return result;

  std::vector<SampleDraw> draws;
  std::vector<std::uint32_t> groups;
  for (const std::uint32_t sample : samples) {
    draws.push_back(workload.draw_sample(seed, step, sample));
    groups.push_back(sample / static_cast<std::uint32_t>(facts.group_size));
    result.tokens += facts.prompt_tokens + draws.back().response_tokens;
  }
  std::sort(groups.begin(), groups.end());
  const auto prompts = static_cast<double>(std::unique(groups.begin(), groups.end()) - groups.begin());

  RolloutBuilder rollout(workload, model, samples.size());
  if (facts.has_tools()) {
    std::vector<double> tool_s(facts.turns.size());
    for (std::size_t turn = 1; turn < tool_s.size(); ++turn) {
      tool_s[turn] = workload.draw_tool_s(seed, step, static_cast<int>(turn) - 1);
    }
    rollout.add_tool_turns(draws, prompts, tool_s);
  } else {
    rollout.add_free_turns(draws, prompts);
  }
  std::move(rollout).finish(result);
  return result;
}

WorkloadCheck check_workload(const Workload& workload, const ModelCost& model, std::uint64_t seed, int steps) {
  CHECK(steps >= 1);
  const WorkloadFacts& facts = workload.facts();
  std::vector<std::uint32_t> samples(static_cast<std::size_t>(facts.samples_per_step()));
  std::iota(samples.begin(), samples.end(), 0u);
  double tokens = 0, passes_s = 0, tail_s = 0, tools_s = 0, rollout_s = 0, rollout_s_squared = 0;
  for (int step = 1; step <= steps; ++step) {
    const SimulatedStep drawn = draw_step(workload, model, seed, step, samples, 1);
    tokens += drawn.tokens;
    double step_s = 0;
    for (const SimulatedSubStage& stage : drawn.rollout) {
      if (stage.kind == SubStageKind::kReward) continue;  // comes after what rollout_s states
      step_s += stage.work.seconds;
      (is_wait(stage.kind) ? tools_s : passes_s) += stage.work.seconds;
      if (stage.kind == SubStageKind::kDecodeTail) tail_s += stage.work.seconds;
    }
    rollout_s += step_s;
    rollout_s_squared += step_s * step_s;
  }
  WorkloadCheck check;
  check.response_tokens = tokens / steps / facts.samples_per_step() - facts.prompt_tokens;
  check.rollout_s = rollout_s / steps;
  check.rollout_s_stddev = std::sqrt(std::max(0.0, rollout_s_squared / steps - check.rollout_s * check.rollout_s));
  check.passes_s = passes_s / facts.engine_overhead / steps;
  check.engine_overhead = (facts.rollout_s - tools_s / steps) / check.passes_s;
  check.tail_time_share = tail_s / passes_s;
  return check;
}

}  // namespace jigsaw
