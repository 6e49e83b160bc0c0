// The `tool` section of a job file.
#pragma once

#include <string>
#include <vector>

#include "workers/commands/command_options.h"

namespace jigsaw {

struct ToolConfig {
  std::string type;  // calculator, command; empty: the policy has no tool
  // A call begins with `call_begin` (empty: where the turn begins) and ends with `call_end`, where decoding stops.
  std::string call_begin{}, call_end{};
  std::string answer_begin{}, answer_end{};  // around an answer, in the completion
  int calls_max = 4;                         // that a completion may make; it ends at a further one
  int answer_tokens_max = 256;               // longer answers are cut off, answer_begin and answer_end included
  CommandOptions command{};                  // type command: the program and its limits
  std::string on_error = "value";            // a call without an answer: "value": error_answer; "fail": the run ends
  std::string error_answer = "error";

  bool any() const { return !type.empty(); }
};

// As ToolConfig::type, for errors and help.
std::vector<std::string> tool_types();

}  // namespace jigsaw
