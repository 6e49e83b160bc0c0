// Arithmetic in exact fractions (workers/rewards/expression.h): "6 * 7" is 42, "1 / 3 + 1 / 6" is 1/2.
#pragma once

#include "workers/tools/tool_replies.h"

namespace jigsaw {

class Calculator final : public Tool {
 public:
  explicit Calculator(const ToolConfig& config) : replies_(config) {}

  Status submit(ToolRequest request) override;
  Result<std::vector<ToolReply>> poll() override { return replies_.take(); }
  std::size_t num_outstanding() const override { return replies_.num_outstanding(); }
  std::string waiting_for() const override { return ""; }

 private:
  ToolReplies replies_;
};

}  // namespace jigsaw
