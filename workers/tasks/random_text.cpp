#include "workers/tasks/random_text.h"

#include <set>

#include "core/utf8.h"

namespace jigsaw {
namespace {

constexpr std::int64_t kLengthMax = 256;

}  // namespace

Result<RandomText> RandomText::create(const TaskOptions& options) {
  RandomText text;
  text.length_min_ = options.integer("length_min");
  text.length_max_ = options.integer("length_max");
  if (text.length_min_ > text.length_max_) {
    return options.error("length_min is " + std::to_string(text.length_min_) + ", above length_max, which is " +
                         std::to_string(text.length_max_));
  }
  std::set<std::string_view> seen;
  for (const std::string_view character : utf8_characters(options.text("alphabet"))) {
    if (!seen.insert(character).second) {
      return options.error("option 'alphabet' has '" + std::string(character) + "' twice; list each character once");
    }
    text.alphabet_.emplace_back(character);
  }
  return text;
}

std::vector<std::string> RandomText::draw(Draws& draws) const {
  std::vector<std::string> drawn(static_cast<std::size_t>(draws.between(length_min_, length_max_)));
  const auto last = static_cast<std::int64_t>(alphabet_.size()) - 1;
  for (std::string& character : drawn) character = alphabet_[static_cast<std::size_t>(draws.between(0, last))];
  return drawn;
}

std::string RandomText::characters() const { return joined(alphabet_); }

std::string joined(const std::vector<std::string>& characters) {
  std::string text;
  for (const std::string& character : characters) text += character;
  return text;
}

OptionRow length_min_option(std::string_view fallback) {
  return integer_option("length_min", fallback, 1, kLengthMax, "characters of the shortest string");
}

OptionRow length_max_option(std::string_view fallback) {
  return integer_option("length_max", fallback, 1, kLengthMax, "characters of the longest string");
}

OptionRow alphabet_option(std::string_view fallback) {
  return text_option("alphabet", fallback, 2, 256, "what the strings are made of");
}

}  // namespace jigsaw
