// countdown: "2,3,5:13" -> "3*5-2", an expression of the given numbers that yields the number after the colon. The
// answer is one of many; the countdown reward evaluates what was written.
#include <optional>
#include <string>
#include <vector>

#include "workers/tasks/exercise.h"

namespace jigsaw {
namespace {

// A sub-expression while a solution is being built.
struct Term {
  std::int64_t value = 0;
  std::string text;
  char operation = ' ';  // the outermost one; ' ' for a plain number
};

std::string in_parentheses(const Term& term, bool needed) { return needed ? "(" + term.text + ")" : term.text; }

// Empty where the game allows no such step: below zero, or a division with a remainder.
std::optional<Term> combined(const Term& left, const Term& right, char operation) {
  Term result;
  result.operation = operation;
  switch (operation) {
    case '+': result.value = left.value + right.value; break;
    case '-':
      if (left.value < right.value) return std::nullopt;
      result.value = left.value - right.value;
      break;
    case '*':
      if (__builtin_mul_overflow(left.value, right.value, &result.value)) return std::nullopt;
      break;
    default:
      if (right.value == 0 || left.value % right.value != 0) return std::nullopt;
      result.value = left.value / right.value;
      break;
  }
  const bool product = operation == '*' || operation == '/';
  const auto is_sum = [](const Term& term) { return term.operation == '+' || term.operation == '-'; };
  const auto is_product = [](const Term& term) { return term.operation == '*' || term.operation == '/'; };
  const bool right_needs =
      product ? is_sum(right) || (operation == '/' && is_product(right)) : operation == '-' && is_sum(right);
  result.text = in_parentheses(left, product && is_sum(left)) + operation + in_parentheses(right, right_needs);
  return result;
}

struct CountdownOptions {
  std::int64_t count_min, count_max, number_min, number_max, target_max;
  std::string operators;
};

class Countdown final : public ExerciseSource {
 public:
  explicit Countdown(CountdownOptions options) : options_(std::move(options)) {}

  Exercise make(Draws& draws) const override {
    std::vector<Term> terms(static_cast<std::size_t>(draws.between(options_.count_min, options_.count_max)));
    std::string numbers;
    for (Term& term : terms) {
      term.value = draws.between(options_.number_min, options_.number_max);
      term.text = std::to_string(term.value);
      numbers += (numbers.empty() ? "" : ",") + term.text;
    }
    const Term solution = solved(terms, draws);
    const std::string target = std::to_string(solution.value);
    return {.input = numbers + ":" + target,
            .answer = solution.text,
            .extra_json = R"({"numbers":[)" + numbers + R"(],"target":)" + target + "}"};
  }
  std::string characters() const override { return "0123456789,:()" + options_.operators; }

 private:
  // A random expression of all the terms, with a value from 1 to target_max.
  Term solved(const std::vector<Term>& terms, Draws& draws) const {
    constexpr int kAttempts = 200;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      const auto solution = random_expression(terms, draws);
      if (solution && solution->value >= 1 && solution->value <= options_.target_max) return *solution;
    }
    // The sum always qualifies, see make() below.
    Term sum = terms.front();
    for (std::size_t i = 1; i < terms.size(); ++i) sum = *combined(sum, terms[i], '+');
    return sum;
  }

  std::optional<Term> random_expression(std::vector<Term> terms, Draws& draws) const {
    const auto take = [&] {
      const auto chosen = draws.between(0, static_cast<std::int64_t>(terms.size()) - 1);
      Term term = std::move(terms[static_cast<std::size_t>(chosen)]);
      terms.erase(terms.begin() + chosen);
      return term;
    };
    while (terms.size() > 1) {
      const Term left = take(), right = take();
      const auto chosen = draws.between(0, static_cast<std::int64_t>(options_.operators.size()) - 1);
      auto step = combined(left, right, options_.operators[static_cast<std::size_t>(chosen)]);
      if (!step) return std::nullopt;
      terms.push_back(std::move(*step));
    }
    return terms.front();
  }

  CountdownOptions options_;
};

Result<std::unique_ptr<ExerciseSource>> make(const TaskOptions& options) {
  CountdownOptions parsed{options.integer("count_min"),  options.integer("count_max"),  options.integer("number_min"),
                          options.integer("number_max"), options.integer("target_max"), options.text("operators")};
  if (parsed.count_min > parsed.count_max) return options.error("count_min is above count_max");
  if (parsed.number_min > parsed.number_max) return options.error("number_min is above number_max");
  if (parsed.count_max * parsed.number_max > parsed.target_max) {
    return options.error("target_max is " + std::to_string(parsed.target_max) +
                         ", but the sum of the numbers can be count_max * number_max = " +
                         std::to_string(parsed.count_max * parsed.number_max) + "; raise target_max to at least that");
  }
  const std::string& operators = parsed.operators;
  for (std::size_t i = 0; i < operators.size(); ++i) {
    if (std::string_view("+-*/").find(operators[i]) == std::string_view::npos || operators.find(operators[i]) != i) {
      return options.error("option 'operators' is '" + operators + "', but must be some of +-*/, each at most once");
    }
  }
  if (operators.find('+') == std::string::npos) return options.error("option 'operators' must have a +");
  return std::unique_ptr<ExerciseSource>(std::make_unique<Countdown>(std::move(parsed)));
}

}  // namespace

TaskRow countdown_task() {
  static const OptionRow options[] = {integer_option("count_min", "3", 2, 6, "fewest numbers to be given"),
                                      integer_option("count_max", "3", 2, 6, "most numbers to be given"),
                                      integer_option("number_min", "1", 1, 1000, "smallest number"),
                                      integer_option("number_max", "9", 1, 1000, "largest number"),
                                      integer_option("target_max", "99", 2, 1000000, "largest number to be reached"),
                                      text_option("operators", "+-*", 1, 4, "some of +-*/, with the + among them")};
  return {"countdown", "reach a number with the given ones, each used once", options, &make};
}

}  // namespace jigsaw
