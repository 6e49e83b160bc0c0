// addition: "12+34" -> "46".
#include <algorithm>

#include "workers/tasks/exercise.h"

namespace jigsaw {
namespace {

std::int64_t power_of_ten(std::int64_t exponent) {
  std::int64_t power = 1;
  for (std::int64_t i = 0; i < exponent; ++i) power *= 10;
  return power;
}

struct AdditionOptions {
  std::int64_t digits_min, digits_max, terms;
  bool zero_pad, reversed;
};

class Addition final : public ExerciseSource {
 public:
  explicit Addition(AdditionOptions options)
      : options_(options),
        answer_width_(std::to_string(options.terms * (power_of_ten(options.digits_max) - 1)).size()) {}

  // With digits_max <= 17 and terms <= 8 no sum leaves 64 bits.
  Exercise make(Draws& draws) const override {
    std::int64_t sum = 0;
    Exercise exercise;
    for (std::int64_t term = 0; term < options_.terms; ++term) {
      const std::int64_t digits = draws.between(options_.digits_min, options_.digits_max);
      const std::int64_t number = draws.between(digits == 1 ? 0 : power_of_ten(digits - 1), power_of_ten(digits) - 1);
      sum += number;
      if (term > 0) exercise.input += '+';
      exercise.input += written(number, static_cast<std::size_t>(options_.digits_max));
    }
    exercise.answer = written(sum, answer_width_);
    if (options_.reversed) std::reverse(exercise.answer.begin(), exercise.answer.end());
    return exercise;
  }
  std::string characters() const override { return "0123456789+"; }

 private:
  std::string written(std::int64_t number, std::size_t width) const {
    std::string text = std::to_string(number);
    if (options_.zero_pad && text.size() < width) text.insert(0, width - text.size(), '0');
    return text;
  }

  AdditionOptions options_;
  std::size_t answer_width_;
};

Result<std::unique_ptr<ExerciseSource>> make(const TaskOptions& options) {
  const AdditionOptions parsed{options.integer("digits_min"), options.integer("digits_max"), options.integer("terms"),
                               options.flag("zero_pad"), options.flag("reversed")};
  if (parsed.digits_min > parsed.digits_max) {
    return options.error("digits_min is " + std::to_string(parsed.digits_min) + ", above digits_max, which is " +
                         std::to_string(parsed.digits_max));
  }
  return std::unique_ptr<ExerciseSource>(std::make_unique<Addition>(parsed));
}

}  // namespace

TaskRow addition_task() {
  static const OptionRow options[] = {
      integer_option("digits_min", "1", 1, 17, "digits of the shortest number"),
      integer_option("digits_max", "2", 1, 17, "digits of the longest number"),
      integer_option("terms", "2", 2, 8, "numbers to be added"),
      flag_option("zero_pad", "false", "fills numbers with zeros to the same width, and the sum to its longest"),
      flag_option("reversed", "false", "writes the sum from its last digit, the order in which carries arise")};
  return {"addition", "add numbers", options, &make};
}

}  // namespace jigsaw
