// reverse: "abc" -> "cba".
#include <algorithm>

#include "workers/tasks/exercise.h"
#include "workers/tasks/random_text.h"

namespace jigsaw {
namespace {

class Reverse final : public ExerciseSource {
 public:
  explicit Reverse(RandomText text) : text_(std::move(text)) {}

  Exercise make(Draws& draws) const override {
    std::vector<std::string> characters = text_.draw(draws);
    Exercise exercise{.input = joined(characters), .answer = {}};
    std::reverse(characters.begin(), characters.end());
    exercise.answer = joined(characters);
    return exercise;
  }
  std::string characters() const override { return text_.characters(); }

 private:
  RandomText text_;
};

Result<std::unique_ptr<ExerciseSource>> make(const TaskOptions& options) {
  JIGSAW_ASSIGN_OR_RETURN(auto text, RandomText::create(options));
  return std::unique_ptr<ExerciseSource>(std::make_unique<Reverse>(std::move(text)));
}

}  // namespace

TaskRow reverse_task() {
  static const OptionRow options[] = {length_min_option("2"), length_max_option("4"), alphabet_option("abcdefgh")};
  return {"reverse", "write a string backwards", options, &make};
}

}  // namespace jigsaw
