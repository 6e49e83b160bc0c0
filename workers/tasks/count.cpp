// count: "a:bacab" -> "2", how often the character before the colon stands after it.
#include <algorithm>

#include "workers/tasks/exercise.h"
#include "workers/tasks/random_text.h"

namespace jigsaw {
namespace {

class Count final : public ExerciseSource {
 public:
  explicit Count(RandomText text) : text_(std::move(text)) {}

  Exercise make(Draws& draws) const override {
    const auto& alphabet = text_.alphabet();
    const std::string& wanted =
        alphabet[static_cast<std::size_t>(draws.between(0, static_cast<std::int64_t>(alphabet.size()) - 1))];
    const std::vector<std::string> characters = text_.draw(draws);
    const auto count = std::count(characters.begin(), characters.end(), wanted);
    return {.input = wanted + ":" + joined(characters), .answer = std::to_string(count)};
  }
  std::string characters() const override { return text_.characters() + ":0123456789"; }

 private:
  RandomText text_;
};

Result<std::unique_ptr<ExerciseSource>> make(const TaskOptions& options) {
  JIGSAW_ASSIGN_OR_RETURN(auto text, RandomText::create(options));
  return std::unique_ptr<ExerciseSource>(std::make_unique<Count>(std::move(text)));
}

}  // namespace

TaskRow count_task() {
  static const OptionRow options[] = {length_min_option("3"), length_max_option("6"), alphabet_option("abc")};
  return {"count", "count a character in a string", options, &make};
}

}  // namespace jigsaw
