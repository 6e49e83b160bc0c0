// What a policy is trained on, written in C++: where prompts come from and what completions are worth.
#pragma once

#include <cstdint>
#include <string>

#include "workers/tasks/task.h"

namespace jigsaw {

struct Completion {
  std::string text;        // without the end token
  int num_tokens = 0;      // the end token included, answers to calls not
  bool truncated = false;  // it ended by length, not by stop
};

// What a completion calls while it is written, where PipelineOptions::tool says how.
struct ToolCall {
  std::string text;        // between call_begin and call_end
  std::string completion;  // so far, call_end included
  int index = 0;           // calls that this completion has made before
};

// Called by Pipeline::step() on the thread that called it, any number of times for one index. Does not throw.
//
// Training is reproducible, and goes on after a restart as it would have without, as long as all functions are pure:
// the result depends on the arguments alone, not on a clock, a counter or a random number generator that lives between
// calls. Draw from the index instead (core/philox.h).
class Environment {
 public:
  virtual ~Environment() = default;
  // For index 0, 1, 2, ..: `text` (or `messages`, for a model with a chat template) and, if it is of use, `answer`; the
  // rest of it is filled in. Step s asks for prompts_per_step indices from (s - 1) * prompts_per_step.
  virtual Prompt prompt(std::int64_t index) const = 0;
  // Finite and at most kRewardMax (workers/rewards/reward.h) in size; else the step fails.
  virtual double reward(std::int64_t index, const Completion& completion) const = 0;
  // What goes on in the completion after the call, between answer_begin and answer_end. Valid UTF-8.
  virtual std::string answer(std::int64_t /*index*/, const ToolCall& /*call*/) const { return ""; }
};

}  // namespace jigsaw
