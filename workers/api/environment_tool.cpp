#include "workers/api/environment_tool.h"

#include <map>
#include <utility>

namespace jigsaw {
namespace {

class EnvironmentTool final : public Tool {
 public:
  explicit EnvironmentTool(const Environment& environment) : environment_(environment) {}

  Status submit(ToolRequest request) override {
    const ToolCall call{
        .text = std::move(request.call), .completion = std::move(request.completion), .index = request.call_index};
    replies_[request.id] = {.id = request.id, .answer = environment_.answer(request.prompt_index, call), .error = {}};
    return ok_status();
  }
  Result<std::vector<ToolReply>> poll() override {
    std::vector<ToolReply> replies;
    for (auto& [id, reply] : std::exchange(replies_, {})) replies.push_back(std::move(reply));
    return replies;
  }
  std::size_t num_outstanding() const override { return replies_.size(); }
  std::string waiting_for() const override { return ""; }

 private:
  const Environment& environment_;
  std::map<std::uint64_t, ToolReply> replies_;
};

}  // namespace

std::unique_ptr<Tool> make_environment_tool(const Environment& environment) {
  return std::make_unique<EnvironmentTool>(environment);
}

}  // namespace jigsaw
