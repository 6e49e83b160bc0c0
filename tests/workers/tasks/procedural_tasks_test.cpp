#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "core/utf8.h"
#include "workers/tasks/task.h"

namespace jigsaw {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::unique_ptr<Task> task_of(const std::string& name, std::map<std::string, std::string> options = {},
                              std::uint64_t seed = 7) {
  TaskConfig config;
  config.name = name;
  config.options = std::move(options);
  auto task = make_task(config, seed);
  EXPECT_TRUE(task.ok()) << (task.ok() ? "" : task.error().message());
  return task.ok() ? std::move(*task) : nullptr;
}

std::string error_of(const std::string& name, std::map<std::string, std::string> options = {}) {
  TaskConfig config;
  config.name = name;
  config.options = std::move(options);
  const auto task = make_task(config, 7);
  return task.ok() ? "no error" : task.error().message();
}

// The exercise within a prompt of the default template, "<exercise>=".
std::string exercise_of(const Prompt& prompt) {
  EXPECT_EQ(prompt.text.back(), '=');
  return prompt.text.substr(0, prompt.text.size() - 1);
}

constexpr int kPromptsChecked = 2000;

TEST(ProceduralTasksTest, ReverseAnswersReadBackwards) {
  const auto task = task_of("reverse");
  std::set<std::size_t> lengths;
  for (int i = 0; i < kPromptsChecked; ++i) {
    const Prompt prompt = task->prompt(i);
    const std::string text = exercise_of(prompt);
    ASSERT_EQ(prompt.answer, std::string(text.rbegin(), text.rend()));
    lengths.insert(text.size());
  }
  EXPECT_THAT(lengths, ::testing::ElementsAre(2, 3, 4));
}

TEST(ProceduralTasksTest, ReverseKeepsCharactersOfSeveralBytesWhole) {
  const auto task = task_of("reverse", {{"alphabet", "aé中😀"}, {"length_min", "6"}, {"length_max", "6"}});
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    const Prompt prompt = task->prompt(i);
    auto characters = utf8_characters(prompt.answer);
    ASSERT_EQ(characters.size(), 6u);
    std::string back;
    for (auto c = characters.rbegin(); c != characters.rend(); ++c) back += *c;
    ASSERT_EQ(back, exercise_of(prompt));
    seen.insert(characters.begin(), characters.end());
  }
  EXPECT_EQ(seen, (std::set<std::string>{"a", "é", "中", "😀"}));
  EXPECT_EQ(task->alphabet(), "aé中😀=");
}

TEST(ProceduralTasksTest, CopyAnswersAreThePrompt) {
  const auto task = task_of("copy");
  for (int i = 0; i < 100; ++i) {
    const Prompt prompt = task->prompt(i);
    ASSERT_EQ(prompt.answer, exercise_of(prompt));
  }
}

TEST(ProceduralTasksTest, SortAnswersAreTheOnlyOrderedPermutation) {
  const auto ascending = task_of("sort"), descending = task_of("sort", {{"order", "descending"}});
  for (int i = 0; i < kPromptsChecked; ++i) {
    for (const Task* task : {ascending.get(), descending.get()}) {
      const Prompt prompt = task->prompt(i);
      const std::string text = exercise_of(prompt);
      ASSERT_TRUE(std::is_permutation(text.begin(), text.end(), prompt.answer.begin(), prompt.answer.end()));
      for (std::size_t k = 1; k < text.size(); ++k) {
        if (task == ascending.get()) {
          ASSERT_LE(prompt.answer[k - 1], prompt.answer[k]);
        } else {
          ASSERT_GE(prompt.answer[k - 1], prompt.answer[k]);
        }
      }
    }
  }
}

TEST(ProceduralTasksTest, AdditionAnswersAreTheSum) {
  const auto task = task_of("addition", {{"terms", "3"}, {"digits_max", "3"}});
  for (int i = 0; i < kPromptsChecked; ++i) {
    const Prompt prompt = task->prompt(i);
    std::istringstream terms(exercise_of(prompt));
    long sum = 0;
    int count = 0;
    for (std::string term; std::getline(terms, term, '+'); ++count) {
      ASSERT_EQ(term, std::to_string(std::stol(term)));  // no leading zeros
      ASSERT_LE(term.size(), 3u);
      sum += std::stol(term);
    }
    ASSERT_EQ(count, 3);
    ASSERT_EQ(prompt.answer, std::to_string(sum));
  }
}

TEST(ProceduralTasksTest, AdditionPadsAndReverses) {
  const auto task = task_of("addition", {{"zero_pad", "true"}, {"reversed", "true"}});
  for (int i = 0; i < kPromptsChecked; ++i) {
    const Prompt prompt = task->prompt(i);
    const std::string text = exercise_of(prompt);
    ASSERT_EQ(text.size(), 5u) << text;
    ASSERT_EQ(prompt.answer.size(), 3u);
    const std::string forwards(prompt.answer.rbegin(), prompt.answer.rend());
    ASSERT_EQ(std::stoi(forwards), std::stoi(text.substr(0, 2)) + std::stoi(text.substr(3)));
  }
}

TEST(ProceduralTasksTest, LargestAdditionDoesNotOverflow) {
  const auto task = task_of("addition", {{"digits_min", "17"}, {"digits_max", "17"}, {"terms", "8"}});
  for (int i = 0; i < 100; ++i) {
    const Prompt prompt = task->prompt(i);
    std::istringstream terms(exercise_of(prompt));
    unsigned __int128 sum = 0;
    for (std::string term; std::getline(terms, term, '+');) sum += std::stoull(term);
    ASSERT_LT(sum, static_cast<unsigned __int128>(1) << 63);
    ASSERT_EQ(prompt.answer, std::to_string(static_cast<std::uint64_t>(sum)));
  }
}

TEST(ProceduralTasksTest, CountAnswersCountTheLetter) {
  const auto task = task_of("count");
  std::map<std::string, int> answers;
  for (int i = 0; i < kPromptsChecked; ++i) {
    const Prompt prompt = task->prompt(i);
    const std::string text = exercise_of(prompt);
    ASSERT_EQ(text[1], ':');
    int count = 0;
    for (std::size_t k = 2; k < text.size(); ++k) count += text[k] == text[0];
    ASSERT_EQ(prompt.answer, std::to_string(count));
    ++answers[prompt.answer];
  }
  EXPECT_GT(answers.size(), 4u);
}

TEST(ProceduralTasksTest, ParityAnswersAreTheSumOfBits) {
  const auto task = task_of("parity", {{"length_max", "9"}});
  int ones = 0;
  for (int i = 0; i < kPromptsChecked; ++i) {
    const Prompt prompt = task->prompt(i);
    int parity = 0;
    for (const char bit : exercise_of(prompt)) parity ^= bit == '1';
    ASSERT_EQ(prompt.answer, std::to_string(parity));
    ones += parity;
  }
  EXPECT_NEAR(ones, kPromptsChecked / 2, 150);  // 6.7 standard deviations
}

// Evaluates an expression of + - * / and parentheses as the textbook does, in doubles. Apart from the code under test.
class Evaluator {
 public:
  explicit Evaluator(const std::string& text) : at_(text.c_str()) {}
  double sum() {
    double value = product();
    while (*at_ == '+' || *at_ == '-') value += *at_++ == '+' ? product() : -product();
    return value;
  }
  std::multiset<long> numbers;
  const char* rest() const { return at_; }

 private:
  double product() {
    double value = factor();
    while (*at_ == '*' || *at_ == '/') {
      if (*at_++ == '*') {
        value *= factor();
      } else {
        value /= factor();
      }
    }
    return value;
  }
  double factor() {
    if (*at_ == '(') {
      ++at_;
      const double value = sum();
      EXPECT_EQ(*at_, ')');
      ++at_;
      return value;
    }
    char* end = nullptr;
    const long number = std::strtol(at_, &end, 10);
    EXPECT_NE(at_, end);
    at_ = end;
    numbers.insert(number);
    return static_cast<double>(number);
  }
  const char* at_;
};

TEST(ProceduralTasksTest, CountdownAnswersReachTheTargetWithEachNumberOnce) {
  for (const auto& options : std::vector<std::map<std::string, std::string>>{
           {},
           {{"operators", "+-*/"}, {"count_min", "2"}, {"count_max", "6"}, {"number_max", "25"}, {"target_max", "999"}},
           {{"operators", "+"}}}) {
    const auto task = task_of("countdown", options);
    std::set<char> operators;
    for (int i = 0; i < kPromptsChecked; ++i) {
      const Prompt prompt = task->prompt(i);
      const std::string text = exercise_of(prompt);
      const auto colon = text.find(':');
      const auto extra = nlohmann::json::parse(prompt.extra_json);
      EXPECT_EQ(extra["target"].dump(), text.substr(colon + 1));
      EXPECT_EQ(extra["numbers"].dump(), "[" + text.substr(0, colon) + "]");
      Evaluator evaluator(prompt.answer);
      ASSERT_EQ(evaluator.sum(), extra["target"].get<double>()) << text << " " << prompt.answer;
      ASSERT_STREQ(evaluator.rest(), "");
      const auto numbers = extra["numbers"].get<std::vector<long>>();
      ASSERT_EQ(evaluator.numbers, std::multiset<long>(numbers.begin(), numbers.end())) << prompt.answer;
      for (const char c : prompt.answer) {
        if (std::string("+-*/").find(c) != std::string::npos) operators.insert(c);
      }
    }
    const auto allowed = options.count("operators") ? options.at("operators") : "+-*";
    EXPECT_EQ(operators, std::set<char>(allowed.begin(), allowed.end()));
  }
}

TEST(ProceduralTasksTest, PromptsArePureAndDependOnSeedAndIndex) {
  for (const std::string& name : task_names()) {
    if (name == "jsonl") continue;
    const auto first = task_of(name), again = task_of(name), other = task_of(name, {}, 8);
    std::vector<std::string> forwards, backwards;
    int num_same = 0;
    std::set<std::string> distinct;
    for (int i = 0; i < 100; ++i) {
      const Prompt prompt = first->prompt(i);
      EXPECT_EQ(prompt.index, i);
      forwards.push_back(prompt.text + prompt.answer + prompt.extra_json);
      num_same += prompt.text == other->prompt(i).text;
      distinct.insert(prompt.text);
    }
    for (int i = 99; i >= 0; --i) {
      const Prompt prompt = again->prompt(i);
      backwards.insert(backwards.begin(), prompt.text + prompt.answer + prompt.extra_json);
    }
    EXPECT_EQ(forwards, backwards) << name;
    EXPECT_LT(num_same, 30) << name;
    EXPECT_GT(distinct.size(), 15u) << name;
    first->prompt(std::numeric_limits<std::int64_t>::max());
  }
}

TEST(ProceduralTasksTest, AlphabetCoversPromptsAndAnswersAndHoldsNothingElse) {
  for (const std::string& name : task_names()) {
    if (name == "jsonl") continue;
    const auto task = task_of(name, {{"template", "do {input}="}});
    std::set<std::string> seen, alphabet;
    for (int i = 0; i < kPromptsChecked; ++i) {
      const Prompt prompt = task->prompt(i);
      const std::string text = prompt.text + prompt.answer;
      for (const auto character : utf8_characters(text)) seen.emplace(character);
    }
    const std::string listed = task->alphabet();
    for (const auto character : utf8_characters(listed)) {
      EXPECT_TRUE(alphabet.emplace(character).second) << name << " lists " << character << " twice";
    }
    EXPECT_TRUE(std::includes(alphabet.begin(), alphabet.end(), seen.begin(), seen.end())) << name;
    if (name != "count") {  // whose answers do not reach 9 with short strings
      EXPECT_EQ(alphabet, seen) << name;
    }
  }
}

TEST(ProceduralTasksTest, LettersAndLengthsAreUniform) {
  const auto task = task_of("copy", {{"alphabet", "abcd"}, {"length_min", "1"}, {"length_max", "4"}});
  std::map<char, int> letters;
  std::map<std::size_t, int> lengths;
  constexpr int kPrompts = 8000;
  int num_letters = 0;
  for (int i = 0; i < kPrompts; ++i) {
    const std::string text = task->prompt(i).answer;
    ++lengths[text.size()];
    for (const char c : text) ++letters[c];
    num_letters += static_cast<int>(text.size());
  }
  double chi2_letters = 0, chi2_lengths = 0;
  for (const char c : std::string("abcd"))
    chi2_letters += std::pow(letters[c] - num_letters / 4.0, 2) / (num_letters / 4.0);
  for (std::size_t n = 1; n <= 4; ++n) chi2_lengths += std::pow(lengths[n] - kPrompts / 4.0, 2) / (kPrompts / 4.0);
  EXPECT_LT(chi2_letters, 16.3);  // 0.1 % point at 3 degrees of freedom
  EXPECT_LT(chi2_lengths, 16.3);
}

TEST(ProceduralTasksTest, TemplateAndDialogueWordThePrompt) {
  TaskConfig config;
  config.name = "reverse";
  config.options = {{"template", "Reverse: {input}."}};
  const std::string plain = (*make_task(config, 7))->prompt(3).text;
  EXPECT_THAT(plain, AllOf(::testing::StartsWith("Reverse: "), ::testing::EndsWith(".")));

  config.chat = true;
  Prompt prompt = (*make_task(config, 7))->prompt(3);
  EXPECT_EQ(prompt.text, "");
  ASSERT_EQ(prompt.messages.size(), 1u);
  EXPECT_EQ(prompt.messages[0].role, "user");
  EXPECT_EQ(prompt.messages[0].content, plain);
  EXPECT_EQ((*make_task(config, 7))->alphabet(), "");

  config.system_prompt = "Be brief.";
  prompt = (*make_task(config, 7))->prompt(3);
  ASSERT_EQ(prompt.messages.size(), 2u);
  EXPECT_EQ(prompt.messages[0].role, "system");
  EXPECT_EQ(prompt.messages[0].content, "Be brief.");
  EXPECT_EQ(prompt.messages[1].content, plain);
}

TEST(ProceduralTasksTest, ErrorsNameTheProblemTheNearestNameAndTheRange) {
  EXPECT_THAT(error_of("revers"), AllOf(HasSubstr("unknown task 'revers'"), HasSubstr("did you mean 'reverse'"),
                                        HasSubstr("countdown"), HasSubstr("jsonl")));
  EXPECT_THAT(error_of("sort", {{"lenght_max", "4"}, {"length_min", "0"}, {"order", "up"}}),
              AllOf(HasSubstr("task 'sort'"), HasSubstr("did you mean 'length_max'"), HasSubstr("'0'"),
                    HasSubstr("1 to 256"), HasSubstr("ascending|descending")));
  EXPECT_THAT(error_of("sort", {{"length_min", "6"}}), HasSubstr("length_min is 6, above length_max, which is 5"));
  EXPECT_THAT(error_of("sort", {{"length_min", "3x"}}), HasSubstr("'3x'"));
  EXPECT_THAT(error_of("sort", {{"length_min", "99999999999999999999"}}), HasSubstr("1 to 256"));
  EXPECT_THAT(error_of("copy", {{"alphabet", "abca"}}), HasSubstr("'a' twice"));
  EXPECT_THAT(error_of("copy", {{"alphabet", "a\xff"}}), HasSubstr("alphabet"));
  EXPECT_THAT(error_of("copy", {{"template", "hello there"}}), HasSubstr("{input}"));
  EXPECT_THAT(error_of("copy", {{"template", "{input}{input}"}}), HasSubstr("once"));
  EXPECT_THAT(error_of("addition", {{"zero_pad", "yes"}}), HasSubstr("true or false"));
  EXPECT_THAT(error_of("addition", {{"digits_min", "3"}}), HasSubstr("above digits_max"));
  EXPECT_THAT(error_of("countdown", {{"number_max", "50"}}), HasSubstr("raise target_max"));
  EXPECT_THAT(error_of("countdown", {{"operators", "+^"}}), HasSubstr("some of +-*/"));
  EXPECT_THAT(error_of("countdown", {{"operators", "*-"}}), HasSubstr("must have a +"));
  EXPECT_THAT(error_of("parity", {{"length_min", "5"}}), HasSubstr("above length_max"));

  TaskConfig config;
  config.name = "sort";
  config.file = "x.jsonl";
  EXPECT_THAT(make_task(config, 1).error().message(), HasSubstr("reads no file"));
}

TEST(ProceduralTasksTest, ReadmeTellsEveryTaskAndOption) {
  std::ifstream file(std::string(JIGSAW_SOURCE_DIR) + "/workers/tasks/README.md");
  const std::string readme((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  for (const TaskInfo& task : task_table()) {
    EXPECT_THAT(readme, HasSubstr("`" + task.name + "`"));
    for (const TaskOptionInfo& option : task.options) {
      EXPECT_THAT(readme, HasSubstr("`" + option.name + "`")) << task.name;
      EXPECT_FALSE(option.meaning.empty());
      EXPECT_FALSE(option.range.empty());
    }
  }
}

}  // namespace
}  // namespace jigsaw
