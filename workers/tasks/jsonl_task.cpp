#include "workers/tasks/jsonl_task.h"

#include <algorithm>
#include <set>

#include "core/philox.h"
#include "core/utf8.h"
#include "workers/tasks/dialogue.h"
#include "workers/tasks/jsonl_line.h"
#include "workers/tasks/line_reader.h"
#include "workers/tasks/permutation.h"

namespace jigsaw {
namespace {

constexpr std::uint64_t kEpochStream = 0x65706F6368;  // "epoch": sets these draws apart from all others of the seed
constexpr int kProblemsShown = 5;
constexpr std::size_t kAlphabetMax = 1000;

class JsonlTask final : public Task {
 public:
  JsonlTask(const TaskConfig& config, std::uint64_t seed, std::vector<Prompt> prompts, std::string alphabet)
      : name_(config.name),
        shuffle_(config.shuffle),
        seed_(seed),
        prompts_(std::move(prompts)),
        alphabet_(std::move(alphabet)) {}

  Prompt prompt(std::int64_t index) const override {
    CHECK(index >= 0);
    const std::int64_t epoch = index / num_prompts(), position = index % num_prompts();
    const std::uint64_t key = philox_key(seed_, kEpochStream, static_cast<std::uint64_t>(epoch));
    const std::int64_t row = shuffle_ ? permuted(key, position, num_prompts()) : position;
    Prompt prompt = prompts_[static_cast<std::size_t>(row)];
    prompt.index = index;
    return prompt;
  }
  std::string name() const override { return name_; }
  std::int64_t num_prompts() const override { return static_cast<std::int64_t>(prompts_.size()); }
  std::string alphabet() const override { return alphabet_; }

 private:
  std::string name_;
  bool shuffle_;
  std::uint64_t seed_;
  std::vector<Prompt> prompts_;  // in the order of the file
  std::string alphabet_;
};

Result<std::vector<Prompt>> read_prompts(const TaskConfig& config, const JsonlFields& fields) {
  JIGSAW_ASSIGN_OR_RETURN(LineReader reader, LineReader::open(config.file));
  std::vector<Prompt> prompts;
  std::string line, problems;
  int num_problems = 0;
  while (num_problems < kProblemsShown) {
    JIGSAW_ASSIGN_OR_RETURN(const bool more, reader.next(line));
    if (!more) break;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    auto decoded = decode_jsonl_line(line, fields);
    if (!decoded) {
      problems += (problems.empty() ? "" : "\n") + config.file + ":" + std::to_string(reader.line_number()) + ": " +
                  decoded.error().message();
      ++num_problems;
      continue;
    }
    if (prompts.size() == kJsonlPromptsMax) {
      return Error(ErrorCode::kResourceExhausted, config.file + ":" + std::to_string(reader.line_number()) +
                                                      ": more than " + std::to_string(kJsonlPromptsMax) +
                                                      " prompts; split the file");
    }
    Prompt& prompt = prompts.emplace_back();
    prompt.answer = std::move(decoded->answer);
    prompt.extra_json = std::move(decoded->extra_json);
    if (decoded->messages.empty()) {
      set_text(config, std::move(decoded->prompt), prompt);
    } else {
      set_messages(config, std::move(decoded->messages), prompt);
    }
  }
  if (num_problems > 0) {
    return Error(ErrorCode::kCorrupt,
                 problems + (num_problems == kProblemsShown ? "\n(lines after these unread)" : ""));
  }
  if (prompts.empty()) {
    return Error(
        ErrorCode::kInvalidArgument,
        config.file + R"(: holds no prompts; write one JSON object a line, such as {"prompt": "2+3=", "answer": "5"})");
  }
  return prompts;
}

// Empty where a dialogue is among the prompts, or there are too many different characters for a character tokenizer.
std::string alphabet_of(const std::vector<Prompt>& prompts) {
  std::set<std::string_view> seen;
  for (const Prompt& prompt : prompts) {
    if (!prompt.messages.empty()) return "";
    for (const std::string* text : {&prompt.text, &prompt.answer}) {
      for (const std::string_view character : utf8_characters(*text)) seen.insert(character);
    }
    if (seen.size() > kAlphabetMax) return "";
  }
  std::string alphabet;
  for (const std::string_view character : seen) alphabet += character;
  return alphabet;
}

}  // namespace

std::span<const OptionRow> jsonl_options() {
  static const OptionRow options[] = {text_option("prompt_field", "prompt", 1, 256, "the field that holds the prompt"),
                                      text_option("answer_field", "answer", 1, 256, "the field that holds the answer")};
  return options;
}

Result<std::unique_ptr<Task>> make_jsonl_task(const TaskConfig& config, std::uint64_t seed) {
  JIGSAW_ASSIGN_OR_RETURN(const TaskOptions options,
                          TaskOptions::parse(kJsonlTaskName, jsonl_options(), config.options));
  const JsonlFields fields{options.text("prompt_field"), options.text("answer_field")};
  if (config.file.empty()) return options.error("it reads its prompts from a file; give one as 'file'");
  if (fields.prompt == fields.answer || fields.prompt == "messages" || fields.answer == "messages") {
    return options.error("prompt_field and answer_field must differ, and neither may be 'messages'");
  }
  JIGSAW_ASSIGN_OR_RETURN(auto prompts, read_prompts(config, fields));
  std::string alphabet = alphabet_of(prompts);
  return std::unique_ptr<Task>(std::make_unique<JsonlTask>(config, seed, std::move(prompts), std::move(alphabet)));
}

}  // namespace jigsaw
