#include <map>
#include <utility>

#include "workers/rewards/expression.h"
#include "workers/tools/tool.h"

namespace jigsaw {
namespace {

class Calculator final : public Tool {
 public:
  explicit Calculator(ToolConfig config) : config_(std::move(config)) {}

  Status submit(ToolRequest request) override {
    const auto expression = parse_expression(request.call);
    ToolReply& reply = replies_[request.id] = {.id = request.id, .answer = config_.error_answer, .error = {}};
    if (!expression) {
      reply.error = "no arithmetic: '" + request.call + "'";
      return ok_status();
    }
    const auto [numerator, denominator] = expression->value;
    reply.answer = std::to_string(numerator) + (denominator == 1 ? "" : "/" + std::to_string(denominator));
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
  ToolConfig config_;
  std::map<std::uint64_t, ToolReply> replies_;
};

}  // namespace

std::vector<std::string> tool_types() { return {"calculator"}; }

Result<std::unique_ptr<Tool>> make_tool(const ToolConfig& config, const Clock&) {
  return std::unique_ptr<Tool>(std::make_unique<Calculator>(config));
}

}  // namespace jigsaw
