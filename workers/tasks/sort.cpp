// sort: "3142" -> "1234".
#include <algorithm>

#include "workers/tasks/exercise.h"
#include "workers/tasks/random_text.h"

namespace jigsaw {
namespace {

class Sort final : public ExerciseSource {
 public:
  Sort(RandomText text, bool descending) : text_(std::move(text)), descending_(descending) {}

  // UTF-8 bytes compare as their code points do.
  Exercise make(Draws& draws) const override {
    std::vector<std::string> characters = text_.draw(draws);
    Exercise exercise{.input = joined(characters), .answer = {}};
    std::sort(characters.begin(), characters.end());
    if (descending_) std::reverse(characters.begin(), characters.end());
    exercise.answer = joined(characters);
    return exercise;
  }
  std::string characters() const override { return text_.characters(); }

 private:
  RandomText text_;
  bool descending_;
};

Result<std::unique_ptr<ExerciseSource>> make(const TaskOptions& options) {
  JIGSAW_ASSIGN_OR_RETURN(auto text, RandomText::create(options));
  const bool descending = options.text("order") == "descending";
  return std::unique_ptr<ExerciseSource>(std::make_unique<Sort>(std::move(text), descending));
}

}  // namespace

TaskRow sort_task() {
  static const OptionRow options[] = {length_min_option("3"), length_max_option("5"), alphabet_option("0123456789"),
                                      choice_option("order", "ascending", "ascending|descending",
                                                    "by code point, so digits by value and letters by alphabet")};
  return {"sort", "sort the characters of a string", options, &make};
}

}  // namespace jigsaw
