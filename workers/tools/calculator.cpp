#include "workers/tools/calculator.h"

#include "core/in_quotes.h"
#include "workers/rewards/expression.h"

namespace jigsaw {

Status Calculator::submit(ToolRequest request) {
  JIGSAW_RETURN_IF_ERROR(replies_.expect(request.id));
  const auto expression = parse_expression(request.call);
  if (!expression) {
    return replies_.refuse(
        request.id, Error(ErrorCode::kInvalidArgument, "tool 'calculator': no arithmetic: " + in_quotes(request.call)));
  }
  const auto [numerator, denominator] = expression->value;
  replies_.answer(request.id, std::to_string(numerator) + (denominator == 1 ? "" : "/" + std::to_string(denominator)));
  return ok_status();
}

}  // namespace jigsaw
