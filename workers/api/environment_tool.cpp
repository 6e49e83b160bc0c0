#include "workers/api/environment_tool.h"

#include <utility>

#include "workers/tools/tool_replies.h"

namespace jigsaw {
namespace {

class EnvironmentTool final : public Tool {
 public:
  explicit EnvironmentTool(const Environment& environment)
      : environment_(environment), replies_(ToolConfig{.type = "environment"}) {}

  Status submit(ToolRequest request) override {
    JIGSAW_RETURN_IF_ERROR(replies_.expect(request.id));
    const ToolCall call{
        .text = std::move(request.call), .completion = std::move(request.completion), .index = request.call_index};
    replies_.answer(request.id, environment_.answer(request.prompt_index, call));
    return ok_status();
  }
  Result<std::vector<ToolReply>> poll() override { return replies_.take(); }
  std::size_t num_outstanding() const override { return replies_.num_outstanding(); }
  std::string waiting_for() const override { return ""; }

 private:
  const Environment& environment_;
  ToolReplies replies_;
};

}  // namespace

std::unique_ptr<Tool> make_environment_tool(const Environment& environment) {
  return std::make_unique<EnvironmentTool>(environment);
}

}  // namespace jigsaw
