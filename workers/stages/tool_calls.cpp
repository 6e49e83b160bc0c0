#include "workers/stages/tool_calls.h"

#include <algorithm>
#include <utility>

namespace jigsaw {

std::optional<std::string> call_in(std::string_view turn, const ToolConfig& config) {
  turn = turn.substr(0, turn.find(config.call_end));
  if (config.call_begin.empty()) return std::string(turn);
  const std::size_t begin = turn.rfind(config.call_begin);
  if (begin == std::string_view::npos) return std::nullopt;
  return std::string(turn.substr(begin + config.call_begin.size()));
}

Status ToolCalls::ask(std::uint64_t sample, const SequenceProgress& completion, const Prompt& prompt,
                      const std::string& prompt_text) {
  const ToolConfig& config = runtime_.config().tool;
  const int turn_begin = completion.given.empty() ? 0 : completion.given.back().end;
  const std::string turn = runtime_.text_of(completion.tokens.subspan(static_cast<std::size_t>(turn_begin)));
  std::optional<std::string> call = call_in(turn, config);
  if (!call) {
    ready_.push_back(
        {.sample = sample,
         .tokens = runtime_.answer_tokens(config.error_answer),
         .error = "a call that ends with '" + config.call_end + "' without a '" + config.call_begin + "' before it"});
    return ok_status();
  }
  const std::uint64_t id = runtime_.next_request_id();
  sample_of_call_[id] = sample;
  return runtime_.tool()->submit({.id = id,
                                  .call = *std::move(call),
                                  .prompt_index = prompt.index,
                                  .call_index = static_cast<int>(completion.given.size()),
                                  .prompt = prompt_text,
                                  .completion = runtime_.text_of(completion.tokens),
                                  .extra_json = prompt.extra_json});
}

void ToolCalls::drop(std::uint64_t sample) {
  std::erase_if(sample_of_call_, [&](const auto& entry) { return entry.second == sample; });
  std::erase_if(ready_, [&](const Answer& answer) { return answer.sample == sample; });
}

void ToolCalls::drop_all() {
  sample_of_call_.clear();
  ready_.clear();
}

Result<std::vector<ToolCalls::Answer>> ToolCalls::take_answers() {
  std::vector<Answer> answers = std::exchange(ready_, {});
  if (runtime_.tool() == nullptr) return answers;
  JIGSAW_ASSIGN_OR_RETURN(std::vector<ToolReply> replies, runtime_.tool()->poll());
  for (ToolReply& reply : replies) {
    const auto asked = sample_of_call_.extract(reply.id);
    if (asked.empty()) continue;  // nobody wants it any more
    answers.push_back({asked.mapped(), runtime_.answer_tokens(reply.answer), std::move(reply.error)});
  }
  return answers;
}

}  // namespace jigsaw
