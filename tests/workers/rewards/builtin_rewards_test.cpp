#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "workers/rewards/reward.h"
#include "workers/tasks/task.h"

namespace jigsaw {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

RewardConfig config_of(const std::string& type) {
  RewardConfig config;
  config.type = type;
  return config;
}

RewardRequest request_of(std::uint64_t id, const std::string& completion, const std::string& answer,
                         const std::string& extra_json) {
  RewardRequest request;
  request.id = id;
  request.completion = completion;
  request.answer = answer;
  request.extra_json = extra_json;
  return request;
}

RewardReply reply_of(const RewardConfig& config, RewardRequest request) {
  auto reward = make_reward(config);
  EXPECT_TRUE(reward.ok()) << (reward.ok() ? "" : reward.error().message());
  if (!reward.ok()) return {};
  request.id = 17;
  const auto submitted = (*reward)->submit(std::move(request));
  EXPECT_TRUE(submitted.ok()) << (submitted.ok() ? "" : submitted.error().message());
  EXPECT_EQ((*reward)->num_outstanding(), 1u);
  auto replies = (*reward)->poll(milliseconds(0));
  EXPECT_TRUE(replies.ok() && replies->size() == 1 && replies->front().id == 17);
  EXPECT_EQ((*reward)->num_outstanding(), 0u);
  return replies->front();
}

double score(const RewardConfig& config, const std::string& completion, const std::string& answer,
             const std::string& extra_json = "{}") {
  const RewardReply reply = reply_of(config, request_of(0, completion, answer, extra_json));
  EXPECT_EQ(reply.error, "");
  return reply.reward;
}

std::string error_of(const RewardConfig& config) {
  const auto reward = make_reward(config);
  return reward.ok() ? "no error" : reward.error().message();
}

TEST(ExactMatchTest, HandValues) {
  RewardConfig config = config_of("exact_match");
  EXPECT_EQ(score(config, "abc", "abc"), 1);
  EXPECT_EQ(score(config, " abc\n", "abc\t"), 1);
  EXPECT_EQ(score(config, "abd", "abc"), 0);
  EXPECT_EQ(score(config, "Abc", "abc"), 0);
  EXPECT_EQ(score(config, "", ""), 1);
  config.strip = false;
  EXPECT_EQ(score(config, " abc", "abc"), 0);
  config.ignore_case = true;
  EXPECT_EQ(score(config, "STRASSE É", "straße é"), 1);
  EXPECT_EQ(score(config, "A\xff", "a\xff"), 1);
  EXPECT_EQ(score(config, "A\xff", "b\xff"), 0);
}

TEST(ExactMatchTest, ExtractCutsTheLastMatchOutOfTheCompletion) {
  RewardConfig config = config_of("exact_match");
  config.extract = "<answer>(.*?)</answer>";
  EXPECT_EQ(score(config, "so <answer>6</answer>, no: <answer> 7 </answer>.", "7"), 1);
  EXPECT_EQ(score(config, "<answer>7</answer><answer>6</answer>", "7"), 0);
  EXPECT_EQ(score(config, "7", "7"), 0);
  EXPECT_EQ(score(config, "", ""), 0);
  config.extract = "x|(y)";  // the group takes no part in the match
  EXPECT_EQ(score(config, "x", ""), 1);
  config.extract = "[a-z]+";  // no group: the whole match
  EXPECT_EQ(score(config, "12 ab 34", "ab"), 1);
  config.extract = "$";  // empty matches come to an end
  EXPECT_EQ(score(config, "中文", ""), 1);
}

TEST(ContainsTest, HandValues) {
  RewardConfig config = config_of("contains");
  EXPECT_EQ(score(config, "the answer is Paris.", "Paris"), 1);
  EXPECT_EQ(score(config, "the answer is paris.", "Paris"), 0);
  config.ignore_case = true;
  EXPECT_EQ(score(config, "the answer is PARIS.", "Paris"), 1);
  EXPECT_EQ(score(config, "par is", "Paris"), 0);
}

TEST(CharMatchTest, HandValues) {
  const RewardConfig config = config_of("char_match");
  EXPECT_EQ(score(config, "edcba", "edcba"), 1);
  EXPECT_DOUBLE_EQ(score(config, "edxxa", "edcba"), 0.6);
  EXPECT_DOUBLE_EQ(score(config, "edc", "edcba"), 0.6);         // two missing
  EXPECT_DOUBLE_EQ(score(config, "edcbaedcba", "edcba"), 0.5);  // five too many
  EXPECT_DOUBLE_EQ(score(config, "xedcba", "edcba"), 0);
  EXPECT_DOUBLE_EQ(score(config, "", "edcba"), 0);
  EXPECT_DOUBLE_EQ(score(config, "", ""), 1);
  EXPECT_DOUBLE_EQ(score(config, "é中x", "é中😀"), 2.0 / 3);  // characters, not bytes
}

TEST(NumberMatchTest, HandValues) {
  const RewardConfig config = config_of("number_match");
  EXPECT_EQ(score(config, "2 + 2 = 4", "4"), 1);
  EXPECT_EQ(score(config, "the answer is 72.", "72"), 1);
  EXPECT_EQ(score(config, "72.0", "72"), 1);
  EXPECT_EQ(score(config, "it is $1,234.50 in all", "1234.5"), 1);
  EXPECT_EQ(score(config, "4, or 5", "4"), 0);
  EXPECT_EQ(score(config, "no number", "4"), 0);
  EXPECT_EQ(score(config, "-5", "5"), 0);
  EXPECT_EQ(score(config, "12345678901234567890123", "12345678901234567890124"), 0);  // beyond a double
  EXPECT_EQ(score(config, "1e3", "1000"), 1);
  EXPECT_EQ(score(config, "18", "Natalia sold 48/2 = 24 clips.\n#### 18"), 1);  // a worked answer
}

TEST(NumberMatchTest, AnAnswerWithoutANumberIsAnError) {
  RewardConfig config = config_of("number_match");
  config.error_value = -0.5;
  const RewardReply reply = reply_of(config, request_of(0, "4", "four\n", ""));
  EXPECT_EQ(reply.reward, -0.5);
  EXPECT_THAT(reply.error, AllOf(HasSubstr("reward 'number_match'"), HasSubstr("\"four\\n\" holds no number")));

  config.on_error = "fail";
  const auto reward = std::move(*make_reward(config));
  const Status submitted = reward->submit(request_of(1, "4", "x", ""));
  EXPECT_THAT(submitted.error().message(), HasSubstr("holds no number"));
  EXPECT_THAT(reward->poll(milliseconds(0)).error().message(), HasSubstr("holds no number"));  // it stays failed
  EXPECT_FALSE(reward->submit(request_of(2, "4", "4", "")).ok());
}

TEST(RegexMatchTest, HandValues) {
  RewardConfig config = config_of("regex_match");
  config.pattern = R"(\b\d{3}\b)";
  EXPECT_EQ(score(config, "call 911 now", ""), 1);
  EXPECT_EQ(score(config, "call 9111 now", ""), 0);
  config.pattern = "^émile$";
  EXPECT_EQ(score(config, "  Émile\n", ""), 0);
  config.ignore_case = true;
  EXPECT_EQ(score(config, "  Émile\n", ""), 1);
  config.strip = false;
  EXPECT_EQ(score(config, "  Émile\n", ""), 0);
  config.pattern = "a.c";
  EXPECT_EQ(score(config, "\xff abc \xfe", ""), 1);
}

TEST(RegexMatchTest, APatternThatTakesTooLongIsAnErrorOfItsSample) {
  RewardConfig config = config_of("regex_match");
  config.pattern = "(a+)+$";
  const RewardReply reply = reply_of(config, request_of(0, std::string(5000, 'a') + "b", "", ""));
  EXPECT_THAT(reply.error, HasSubstr("takes too long"));
  EXPECT_EQ(score(config, std::string(5000, 'a'), ""), 1);
  config.pattern = "(?:.*x){2}";  // slow, but within bounds for every text
  EXPECT_EQ(score(config, std::string(400, 'a'), ""), 0);
}

TEST(RegexMatchTest, ABadPatternsErrorShowsThePlace) {
  RewardConfig config = config_of("regex_match");
  config.pattern = "ab(cd";
  EXPECT_THAT(error_of(config), AllOf(HasSubstr("reward 'regex_match'"), HasSubstr("byte 5"), HasSubstr("'ab(cd<--'"),
                                      HasSubstr("parenthes")));
  config.pattern = "";
  EXPECT_THAT(error_of(config), HasSubstr("needs a 'pattern'"));
  config = config_of("exact_match");
  config.extract = "*a";
  EXPECT_THAT(error_of(config), AllOf(HasSubstr("extract"), HasSubstr("'<--*a'")));
}

TEST(FormatTest, WholeCompletionMustMatch) {
  RewardConfig config = config_of("format");
  config.pattern = "a|ab";
  EXPECT_EQ(score(config, "ab", ""), 1);
  EXPECT_EQ(score(config, " ab ", ""), 1);
  EXPECT_EQ(score(config, "abc", ""), 0);
  EXPECT_EQ(score(config, "xa", ""), 0);
  EXPECT_EQ(score(config, "a\nb", ""), 0);
}

TEST(FormatTest, WithoutAPatternOneAnswerAtTheEndIsWanted) {
  const RewardConfig config = config_of("format");
  EXPECT_EQ(score(config, "Let me see.\nYes: <answer>4\n2</answer>\n", ""), 1);
  EXPECT_EQ(score(config, "<answer>42</answer>", ""), 1);
  EXPECT_EQ(score(config, "<answer></answer>", ""), 0);
  EXPECT_EQ(score(config, "<answer>42</answer> I think", ""), 0);
  EXPECT_EQ(score(config, "<answer>4</answer><answer>2</answer>", ""), 0);
  EXPECT_EQ(score(config, "<answer>42", ""), 0);
  EXPECT_EQ(score(config, "42", ""), 0);
  EXPECT_EQ(score(config, std::string(60000, 'x') + "<answer>1</answer>", ""), 1);
}

TEST(LengthTest, HandValues) {
  const auto score_of = [](int target, int max, int num_tokens) {
    RewardConfig config = config_of("length");
    config.length_target = target;
    config.length_max = max;
    RewardRequest request;
    request.num_tokens = num_tokens;
    return reply_of(config, request).reward;
  };
  EXPECT_DOUBLE_EQ(score_of(10, 0, 10), 1);
  EXPECT_DOUBLE_EQ(score_of(10, 0, 7), 0.7);
  EXPECT_DOUBLE_EQ(score_of(10, 0, 13), 0.7);
  EXPECT_DOUBLE_EQ(score_of(10, 0, 0), 0);
  EXPECT_DOUBLE_EQ(score_of(10, 0, 25), 0);
  EXPECT_DOUBLE_EQ(score_of(0, 5, 5), 1);
  EXPECT_DOUBLE_EQ(score_of(0, 5, 6), 0);
  EXPECT_DOUBLE_EQ(score_of(10, 12, 13), 0);
  EXPECT_DOUBLE_EQ(score_of(10, 12, 12), 0.8);
  RewardConfig config = config_of("length");
  EXPECT_THAT(error_of(config), HasSubstr("needs 'length_target', 'length_max'"));
  config.length_target = -1;
  EXPECT_THAT(error_of(config), HasSubstr("-1"));
  config.length_target = 9;
  config.length_max = 8;
  EXPECT_THAT(error_of(config), HasSubstr("above length_max"));
}

constexpr const char* kGame = R"({"numbers":[2,3,5],"target":13})";

TEST(CountdownTest, HandValues) {
  RewardConfig config = config_of("countdown");
  EXPECT_EQ(score(config, "3*5-2", "", kGame), 1);
  EXPECT_EQ(score(config, " 5 × 3 − 2 = 13", "", kGame), 1);
  EXPECT_EQ(score(config, "(5*3)-2", "", kGame), 1);
  EXPECT_DOUBLE_EQ(score(config, "3*5", "", kGame), 0.1);    // sound, misses
  EXPECT_DOUBLE_EQ(score(config, "5*3/2", "", kGame), 0.1);  // 7.5 exactly
  EXPECT_EQ(score(config, "5+5+3", "", kGame), 0);           // one number twice
  EXPECT_EQ(score(config, "13", "", kGame), 0);              // not given
  EXPECT_EQ(score(config, "3*5-", "", kGame), 0);
  EXPECT_EQ(score(config, "3**5", "", kGame), 0);
  EXPECT_EQ(score(config, "5/(3-3)", "", R"({"numbers":[3,3,5],"target":5})"), 0);  // division by zero
  EXPECT_EQ(score(config, "", "", kGame), 0);
  EXPECT_EQ(score(config, "3/(8/2)*4", "", R"({"nums":[2,3,4,8],"target":3})"), 1);
  EXPECT_EQ(score(config, "8/3*3", "", R"({"numbers":[3,3,8],"target":8})"), 1);  // fractions on the way
  config.use_all = true;
  EXPECT_EQ(score(config, "3+5", "", R"({"numbers":[2,3,5],"target":8})"), 0);
  EXPECT_EQ(score(config, "3+5*1", "", R"({"numbers":[1,3,5],"target":8})"), 1);
  config.partial_credit = 0;
  config.extract = "<answer>(.*)</answer>";
  EXPECT_EQ(score(config, "I try <answer>2+3+5</answer>", "", kGame), 0);
  EXPECT_EQ(score(config, "I try <answer>3*5-2</answer>", "", kGame), 1);
}

TEST(CountdownTest, SolvesTheTasksOwnAnswers) {
  RewardConfig config = config_of("countdown");
  config.use_all = true;
  TaskConfig task_config;
  task_config.name = "countdown";
  task_config.options = {{"operators", "+-*/"}, {"count_max", "6"}, {"target_max", "999"}};
  const auto task = std::move(*make_task(task_config, 3));
  for (int i = 0; i < 300; ++i) {
    const Prompt prompt = task->prompt(i);
    ASSERT_EQ(score(config, prompt.answer, prompt.answer, prompt.extra_json), 1) << prompt.text << prompt.answer;
  }
}

TEST(CountdownTest, PromptsWithoutNumbersAreErrors) {
  for (const char* extra :
       {"", "{}", "[]", "nonsense", R"({"numbers":[],"target":1})", R"({"numbers":["2"],"target":1})",
        R"({"numbers":[2],"target":"1"})", R"({"numbers":[2]})"}) {
    const RewardReply reply = reply_of(config_of("countdown"), request_of(0, "2", "", extra));
    EXPECT_THAT(reply.error, HasSubstr("must come with")) << extra;
  }
}

TEST(SumTest, WeighsItsPartsAndReportsThem) {
  RewardConfig exact = config_of("exact_match"), close = config_of("char_match"), inner = config_of("sum");
  exact.weight = 2;
  close.name = "close";
  close.weight = 0.5;
  RewardConfig shouting = config_of("regex_match");
  shouting.pattern = "!";
  shouting.weight = -1;
  inner.parts = {shouting};
  inner.name = "style";
  RewardConfig sum = config_of("sum");
  sum.parts = {exact, close, inner};
  RewardReply reply = reply_of(sum, request_of(0, "ab!", "abc", ""));
  EXPECT_DOUBLE_EQ(reply.reward, 0.5 * 2 / 3 - 1);
  EXPECT_THAT(reply.parts, ElementsAre(Pair("exact_match", 0), Pair("close", ::testing::DoubleEq(2.0 / 3)),
                                       Pair("style", -1), Pair("style/regex_match", 1)));
  reply = reply_of(sum, request_of(0, "abc", "abc", ""));
  EXPECT_DOUBLE_EQ(reply.reward, 2.5);
}

TEST(SumTest, ErrorsOfPartsAreToldAndCostThatPartOnly) {
  RewardConfig number = config_of("number_match"), exact = config_of("exact_match"), sum = config_of("sum");
  number.error_value = -3;
  sum.parts = {number, exact};
  const RewardReply reply = reply_of(sum, request_of(0, "x", "x", ""));
  EXPECT_EQ(reply.reward, -2);
  EXPECT_THAT(reply.error, HasSubstr("reward 'number_match'"));
}

TEST(SumTest, ConfigErrorsNameThePart) {
  RewardConfig sum = config_of("sum");
  EXPECT_THAT(error_of(sum), HasSubstr("needs 'parts'"));
  sum.parts = {config_of("exact_match"), config_of("exact_match")};
  EXPECT_THAT(error_of(sum), HasSubstr("two parts are called 'exact_match'"));
  sum.parts = {config_of("exact_math")};
  EXPECT_THAT(error_of(sum), AllOf(HasSubstr("part of reward 'sum'"), HasSubstr("did you mean 'exact_match'")));
}

TEST(RewardConfigTest, UnknownTypesUnusedFieldsAndBadNumbersAreErrors) {
  EXPECT_THAT(error_of(config_of("number_mach")),
              AllOf(HasSubstr("did you mean 'number_match'"), HasSubstr("countdown")));
  RewardConfig config = config_of("exact_match");
  config.pattern = "x";
  EXPECT_THAT(error_of(config),
              HasSubstr("type exact_match does not use 'pattern'; it uses strip, ignore_case, extract"));
  config = config_of("exact_match");
  config.on_error = "crash";
  EXPECT_THAT(error_of(config), HasSubstr("value or fail"));
  config = config_of("exact_match");
  config.error_value = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(error_of(config), HasSubstr("error_value"));
  config = config_of("exact_match");
  config.weight = std::numeric_limits<double>::infinity();
  EXPECT_THAT(error_of(config), HasSubstr("weight"));
  config = config_of("countdown");
  config.partial_credit = 2;
  EXPECT_THAT(error_of(config), HasSubstr("partial_credit"));
  config = config_of("contains");
  EXPECT_THAT(reply_of(config, {}).error, HasSubstr("empty"));
}

TEST(RewardTest, IdsAreUniqueAmongTheOutstandingAndRepliesComeInTheirOrder) {
  const auto reward = std::move(*make_reward(config_of("exact_match")));
  for (const std::uint64_t id : {5u, 2u, 9u}) {
    ASSERT_TRUE(reward->submit(request_of(id, "", "", "")).ok());
  }
  EXPECT_THAT(reward->submit(request_of(2, "", "", "")).error().message(),
              HasSubstr("request 2 is outstanding already"));
  std::vector<std::uint64_t> ids;
  const auto replies = reward->poll(milliseconds(1000));
  for (const RewardReply& reply : *replies) ids.push_back(reply.id);
  EXPECT_THAT(ids, ElementsAre(2, 5, 9));
  EXPECT_TRUE(reward->submit(request_of(2, "", "", "")).ok());
  EXPECT_EQ(reward->waiting_for(), "");
}

TEST(RewardTest, ReadmesTellEveryTypeAndField) {
  std::string readme;
  for (const char* folder : {"rewards", "commands"}) {
    std::ifstream file(std::string(JIGSAW_SOURCE_DIR) + "/workers/" + folder + "/README.md");
    readme.append(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  for (const RewardTypeInfo& info : reward_table()) {
    EXPECT_THAT(readme, HasSubstr("`" + info.type + "`"));
    for (const std::string& field : info.fields) EXPECT_THAT(readme, HasSubstr("`" + field + "`")) << info.type;
  }
}

}  // namespace
}  // namespace jigsaw
