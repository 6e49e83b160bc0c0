// What a completion may call while it is written, such as a calculator or a search: the policy writes a call, decoding
// stops, and the tool's answer goes on in the completion as if it had been a prompt. Like rewards (workers/rewards),
// tools never block the executor. Executor thread only; that thread outlives the tool.
//
// Training is reproducible as long as a tool's answer depends on its request alone: it may be asked again, for the same
// answer, by a worker that takes a completion over.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "workers/tools/tool_config.h"

namespace jigsaw {

struct ToolRequest {
  std::uint64_t id = 0;                        // unique among the outstanding ones
  std::string call;                            // what stands between ToolConfig::call_begin and call_end
  std::int64_t prompt_index = 0;               // of the task
  int call_index = 0;                          // calls that this completion has made before
  std::string prompt, completion, extra_json;  // the completion so far, call_end included; extras of the data line
};

struct ToolReply {
  std::uint64_t id = 0;
  std::string answer;  // valid UTF-8; without answer_begin and answer_end
  std::string error;   // not empty: the configured answer was taken instead, and why
};

class Tool {
 public:
  virtual ~Tool() = default;
  // An error is a failure of the run (on_error: fail): it names tool, command and cause. After one, every later call
  // returns it again. Refused as well: an id that is outstanding, and more than 65536 requests at a time.
  virtual Status submit(ToolRequest request) = 0;
  // Replies that are ready, in order of id; does not wait. An error as for submit.
  virtual Result<std::vector<ToolReply>> poll() = 0;
  virtual std::size_t num_outstanding() const = 0;
  // For stall reports: "tool 'command': 3 requests at process 4711, oldest 2.1 s of 10 s". Empty when it waits for
  // none.
  virtual std::string waiting_for() const = 0;
};

// Checks everything that can be checked beforehand, and starts the processes of commands. `config.type` is not empty.
// `clock` (for time limits) outlives the tool.
Result<std::unique_ptr<Tool>> make_tool(const ToolConfig& config, const Clock& clock = system_clock());

}  // namespace jigsaw
