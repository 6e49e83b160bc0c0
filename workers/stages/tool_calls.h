// The calls of a rollout's completions: what they ask their pipeline's tool, and what goes on in them. Executor thread
// only; never waits.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "workers/pipeline_runtime.h"

namespace jigsaw {

// What a turn that has come to `config.call_end` asks; empty without `config.call_begin` before it.
std::optional<std::string> call_in(std::string_view turn, const ToolConfig& config);

class ToolCalls {
 public:
  struct Answer {
    std::uint64_t sample = 0;
    std::vector<TokenId> tokens;
    std::string error;  // not empty: the configured answer was taken, and why
  };

  // `runtime` outlives this.
  explicit ToolCalls(PipelineRuntime& runtime) : runtime_(runtime) {}

  // `sample`'s completion has paused for the tool.
  Status ask(std::uint64_t sample, const SequenceProgress& completion, const Prompt& prompt,
             const std::string& prompt_text);
  // Its answer is not wanted any more, if one is to come.
  void drop(std::uint64_t sample);
  void drop_all();
  // Those that have come, in order of asking.
  Result<std::vector<Answer>> take_answers();
  bool waits() const { return !sample_of_call_.empty(); }
  std::string waiting_for() const { return waits() ? runtime_.tool()->waiting_for() : ""; }

 private:
  PipelineRuntime& runtime_;
  std::map<std::uint64_t, std::uint64_t> sample_of_call_;  // by the call's id
  std::vector<Answer> ready_;                              // that no tool was needed for
};

}  // namespace jigsaw
