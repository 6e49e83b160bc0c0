// countdown: 1 for an expression that reaches the target with the given numbers, partial_credit for one that is sound
// but misses, else 0. The numbers and the target come with the data line: {"numbers": [2,3,5], "target": 13}.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/in_quotes.h"
#include "workers/rewards/expression.h"
#include "workers/rewards/scorers.h"
#include "workers/rewards/text_rules.h"

namespace jigsaw {
namespace {

using nlohmann::json;

constexpr std::size_t kNumbersMax = 1000;

struct Game {
  std::vector<std::int64_t> numbers;  // in order of size
  std::int64_t target = 0;
};

Result<Game> game_of(const std::string& extra_json) {
  const json extra = json::parse(extra_json, nullptr, /*allow_exceptions=*/false);
  Game game;
  const auto bad = [&] {
    return Error(ErrorCode::kInvalidArgument,
                 R"(the prompt must come with {"numbers": [2,3,5], "target": 13}, found )" + in_quotes(extra_json) +
                     "; task 'countdown' and such JSONL lines do");
  };
  if (!extra.is_object()) return bad();
  const auto numbers = extra.contains("numbers") ? extra.find("numbers") : extra.find("nums");
  const auto target = extra.find("target");
  if (numbers == extra.end() || !numbers->is_array() || numbers->empty() || numbers->size() > kNumbersMax) return bad();
  if (target == extra.end() || !target->is_number_integer()) return bad();
  for (const json& number : *numbers) {
    if (!number.is_number_integer()) return bad();
    game.numbers.push_back(number.get<std::int64_t>());
  }
  std::sort(game.numbers.begin(), game.numbers.end());
  game.target = target->get<std::int64_t>();
  return game;
}

class Countdown final : public Scorer {
 public:
  Countdown(TextRules rules, double partial_credit, bool use_all)
      : rules_(std::move(rules)), partial_credit_(partial_credit), use_all_(use_all) {}

  Result<double> score(const RewardRequest& request) const override {
    JIGSAW_ASSIGN_OR_RETURN(const Game game, game_of(request.extra_json));
    JIGSAW_ASSIGN_OR_RETURN(const auto completion, rules_.completion(request));
    if (!completion) return 0.0;
    // "3*5-2=13" is the expression before the equals sign.
    auto expression = parse_expression(std::string_view(*completion).substr(0, completion->find('=')));
    if (!expression) return 0.0;
    std::sort(expression->numbers.begin(), expression->numbers.end());
    const bool numbers_are_given = use_all_ ? expression->numbers == game.numbers
                                            : std::includes(game.numbers.begin(), game.numbers.end(),
                                                            expression->numbers.begin(), expression->numbers.end());
    if (!numbers_are_given) return 0.0;
    return expression->value == Fraction{game.target, 1} ? 1.0 : partial_credit_;
  }

 private:
  TextRules rules_;
  double partial_credit_;
  bool use_all_;
};

}  // namespace

Result<std::unique_ptr<Scorer>> make_countdown(const RewardConfig& config) {
  if (!(config.partial_credit >= 0 && config.partial_credit <= 1)) {
    return Error(ErrorCode::kInvalidArgument, "partial_credit must be from 0 to 1");
  }
  JIGSAW_ASSIGN_OR_RETURN(auto rules, TextRules::create(config));
  return std::unique_ptr<Scorer>(std::make_unique<Countdown>(std::move(rules), config.partial_credit, config.use_all));
}

}  // namespace jigsaw
