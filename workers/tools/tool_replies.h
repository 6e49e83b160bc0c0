// The accounts of a tool: which requests are outstanding, which replies are ready, and whether the run has failed.
#pragma once

#include <map>
#include <optional>
#include <set>

#include "workers/tools/tool.h"

namespace jigsaw {

class ToolReplies {
 public:
  static constexpr std::size_t kRequestsMax = 65536;

  explicit ToolReplies(const ToolConfig& config);

  // Refuses an id that is outstanding, more than kRequestsMax of them, and everything after a failure.
  Status expect(std::uint64_t id);
  void answer(std::uint64_t id, std::string answer);
  // There is no answer, for `reason`: error_answer is taken instead, or else the run has failed (on_error) and the
  // error is returned.
  Status refuse(std::uint64_t id, const Error& reason);
  // As Tool::poll().
  Result<std::vector<ToolReply>> take();
  std::size_t num_outstanding() const { return outstanding_.size(); }

 private:
  std::string title_;  // "tool 'calculator'"
  bool fail_on_error_;
  std::string error_answer_;
  std::set<std::uint64_t> outstanding_;  // with those that are ready
  std::map<std::uint64_t, ToolReply> ready_;
  std::optional<Error> failure_;
};

}  // namespace jigsaw
