#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "workers/tools/tool.h"

namespace jigsaw {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;

std::unique_ptr<Tool> calculator(const std::string& on_error = "value") {
  ToolConfig config;
  config.type = "calculator";
  config.on_error = on_error;
  config.error_answer = "no number";
  return std::move(*make_tool(config));
}

ToolRequest request_of(std::uint64_t id, const std::string& call) {
  ToolRequest request;
  request.id = id;
  request.call = call;
  return request;
}

std::string answer_to(const std::string& call) {
  const auto tool = calculator();
  EXPECT_TRUE(tool->submit(request_of(1, call)).ok());
  const auto replies = std::move(*tool->poll());
  EXPECT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies.front().error.empty(), replies.front().answer != "no number") << call;
  return replies.front().answer;
}

TEST(CalculatorTest, AnswersInWholeNumbersAndExactFractions) {
  EXPECT_EQ(answer_to("6 * 7"), "42");
  EXPECT_EQ(answer_to(" (1+2)*3\n"), "9");
  EXPECT_EQ(answer_to("2-5"), "-3");
  EXPECT_EQ(answer_to("1/3+1/6"), "1/2");
  EXPECT_EQ(answer_to("1/(2-5)"), "-1/3");
  EXPECT_EQ(answer_to("0/5"), "0");
}

TEST(CalculatorTest, WhatIsNoArithmeticGetsTheConfiguredAnswerWithTheReason) {
  for (const char* call : {"", "two plus two", "1/0", "1 2", "99999999999999999999"}) {
    EXPECT_EQ(answer_to(call), "no number") << call;
  }
  const auto tool = calculator();
  ASSERT_TRUE(tool->submit(request_of(4, "x\n\xff" + std::string(100000, 'y'))).ok());
  const auto replies = std::move(*tool->poll());
  EXPECT_EQ(replies[0].error, "tool 'calculator': no arithmetic: \"x\\n\\xff" + std::string(117, 'y') + "\"...");
}

TEST(CalculatorTest, OrEndsTheRunForGood) {
  const auto tool = calculator("fail");
  EXPECT_TRUE(tool->submit(request_of(1, "1+1")).ok());
  EXPECT_EQ(tool->submit(request_of(2, "one")).error().message(), "tool 'calculator': no arithmetic: \"one\"");
  EXPECT_THAT(tool->submit(request_of(3, "1+1")).error().message(), HasSubstr("\"one\""));
  EXPECT_THAT(tool->poll().error().message(), HasSubstr("\"one\""));
  EXPECT_EQ(tool->num_outstanding(), 0u);
}

TEST(CalculatorTest, RepliesComeInOrderOfIdAndOnce) {
  const auto tool = calculator();
  for (const std::uint64_t id : {9, 2, 5}) ASSERT_TRUE(tool->submit(request_of(id, "1+1")).ok());
  EXPECT_EQ(tool->num_outstanding(), 3u);
  EXPECT_THAT(tool->submit(request_of(5, "1")).error().message(), HasSubstr("request 5 is outstanding already"));
  EXPECT_THAT(*tool->poll(), ElementsAre(Field(&ToolReply::id, 2), Field(&ToolReply::id, 5), Field(&ToolReply::id, 9)));
  EXPECT_TRUE(tool->poll()->empty());
  EXPECT_EQ(tool->num_outstanding(), 0u);
  EXPECT_EQ(tool->waiting_for(), "");
}

}  // namespace
}  // namespace jigsaw
