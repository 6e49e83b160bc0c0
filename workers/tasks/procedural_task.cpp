#include "workers/tasks/procedural_task.h"

#include <set>

#include "core/utf8.h"
#include "workers/tasks/dialogue.h"

namespace jigsaw {
namespace {

constexpr std::string_view kPlaceholder = "{input}";
// Sets the draws of tasks apart from all else that is drawn from the job's seed.
constexpr std::uint64_t kTaskStream = 0x7461736B;  // "task"

class ProceduralTask final : public Task {
 public:
  ProceduralTask(TaskConfig config, std::uint64_t seed, std::unique_ptr<ExerciseSource> source, std::string before,
                 std::string after)
      : config_(std::move(config)),
        key_(philox_key(seed, kTaskStream, 0)),
        source_(std::move(source)),
        before_(std::move(before)),
        after_(std::move(after)) {}

  Prompt prompt(std::int64_t index) const override {
    CHECK(index >= 0);
    Draws draws(key_, static_cast<std::uint64_t>(index));
    Exercise exercise = source_->make(draws);
    Prompt prompt;
    prompt.index = index;
    prompt.answer = std::move(exercise.answer);
    prompt.extra_json = std::move(exercise.extra_json);
    set_text(config_, before_ + exercise.input + after_, prompt);
    return prompt;
  }

  std::string name() const override { return config_.name; }
  std::int64_t num_prompts() const override { return 0; }

  std::string alphabet() const override {
    if (makes_dialogues(config_)) return "";
    const std::string text = source_->characters() + before_ + after_;
    std::string alphabet;
    std::set<std::string_view> seen;
    for (const std::string_view character : utf8_characters(text)) {
      if (seen.insert(character).second) alphabet += character;
    }
    return alphabet;
  }

 private:
  TaskConfig config_;
  std::uint64_t key_;
  std::unique_ptr<ExerciseSource> source_;
  std::string before_, after_;  // the template, cut at its placeholder
};

}  // namespace

std::vector<OptionRow> with_common_options(const TaskRow& row) {
  std::vector<OptionRow> rows(row.options.begin(), row.options.end());
  rows.push_back(text_option("template", "{input}=", kPlaceholder.size(), 4096,
                             "the prompt's wording, with {input} where the exercise goes"));
  return rows;
}

Result<std::unique_ptr<Task>> make_procedural_task(const TaskRow& row, const TaskConfig& config, std::uint64_t seed) {
  const std::vector<OptionRow> rows = with_common_options(row);
  JIGSAW_ASSIGN_OR_RETURN(const TaskOptions options, TaskOptions::parse(row.name, rows, config.options));
  if (!config.file.empty()) {
    return options.error("it makes up its prompts and reads no file; remove 'file', or use task 'jsonl'");
  }
  const std::string& wording = options.text("template");
  const std::size_t place = wording.find(kPlaceholder);
  if (place == std::string::npos || wording.find(kPlaceholder, place + 1) != std::string::npos) {
    return options.error("option 'template' is '" + wording + "', but must have {input} in it, once");
  }
  JIGSAW_ASSIGN_OR_RETURN(auto source, row.make(options));
  return std::unique_ptr<Task>(std::make_unique<ProceduralTask>(
      config, seed, std::move(source), wording.substr(0, place), wording.substr(place + kPlaceholder.size())));
}

}  // namespace jigsaw
