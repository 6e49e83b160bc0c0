// parity: "10110" -> "1", the sum of the bits modulo 2. One answer token, and half of all guesses are right.
#include <algorithm>

#include "workers/tasks/exercise.h"
#include "workers/tasks/random_text.h"

namespace jigsaw {
namespace {

class Parity final : public ExerciseSource {
 public:
  Parity(std::int64_t length_min, std::int64_t length_max) : length_min_(length_min), length_max_(length_max) {}

  Exercise make(Draws& draws) const override {
    std::string bits(static_cast<std::size_t>(draws.between(length_min_, length_max_)), '0');
    for (char& bit : bits) bit = static_cast<char>('0' + draws.between(0, 1));
    const bool odd = std::count(bits.begin(), bits.end(), '1') % 2 == 1;
    return {.input = bits, .answer = odd ? "1" : "0"};
  }
  std::string characters() const override { return "01"; }

 private:
  std::int64_t length_min_, length_max_;
};

Result<std::unique_ptr<ExerciseSource>> make(const TaskOptions& options) {
  const std::int64_t length_min = options.integer("length_min"), length_max = options.integer("length_max");
  if (length_min > length_max) return options.error("length_min is above length_max");
  return std::unique_ptr<ExerciseSource>(std::make_unique<Parity>(length_min, length_max));
}

}  // namespace

TaskRow parity_task() {
  static const OptionRow options[] = {length_min_option("2"), length_max_option("4")};
  return {"parity", "tell whether a string of bits has an odd number of ones", options, &make};
}

}  // namespace jigsaw
