// copy: "abc" -> "abc". The easiest task: a check that a policy learns at all.
#include "workers/tasks/exercise.h"
#include "workers/tasks/random_text.h"

namespace jigsaw {
namespace {

class Copy final : public ExerciseSource {
 public:
  explicit Copy(RandomText text) : text_(std::move(text)) {}

  Exercise make(Draws& draws) const override {
    const std::string text = joined(text_.draw(draws));
    return {.input = text, .answer = text};
  }
  std::string characters() const override { return text_.characters(); }

 private:
  RandomText text_;
};

Result<std::unique_ptr<ExerciseSource>> make(const TaskOptions& options) {
  JIGSAW_ASSIGN_OR_RETURN(auto text, RandomText::create(options));
  return std::unique_ptr<ExerciseSource>(std::make_unique<Copy>(std::move(text)));
}

}  // namespace

TaskRow copy_task() {
  static const OptionRow options[] = {length_min_option("2"), length_max_option("4"), alphabet_option("abcdefgh")};
  return {"copy", "write a string again", options, &make};
}

}  // namespace jigsaw
