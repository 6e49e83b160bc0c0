#include "workers/rewards/command_protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/workers/commands/damaged_line.h"
#include "workers/commands/command_lines.h"

namespace jigsaw {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(CommandProtocolTest, RequestsAreOneLineWithKeysInOrder) {
  RewardRequest request;
  request.prompt = "a \"b\"\n";
  request.completion = "\xff\\ é";
  request.answer = "5";
  request.extra_json = "{\"x\": [1,\r\n 2]}";
  request.num_tokens = 7;
  request.truncated = true;
  const std::string line = request_line(3, encode_command_request(request));
  EXPECT_EQ(
      line,
      "{\"id\":3,\"prompt\":\"a \\\"b\\\"\\n\",\"completion\":\"\xEF\xBF\xBD\\\\ é\",\"answer\":\"5\",\"num_tokens\":7,"
      "\"truncated\":true,\"extra\":{\"x\": [1,   2]}}");
  const json object = json::parse(line);
  EXPECT_EQ(object["prompt"], request.prompt);
  EXPECT_EQ(object["extra"], json::parse(request.extra_json));
}

TEST(CommandProtocolTest, ExtraThatIsNotJsonIsLeftOut) {
  RewardRequest request;
  for (const char* extra : {"", "{", "{}}", "{\"id\":1}\n{\"id\":2}"}) {
    request.extra_json = extra;
    EXPECT_THAT(encode_command_request(request), ::testing::EndsWith("\"extra\":{}"));
  }
}

TEST(CommandProtocolTest, GoodRepliesAreDecoded) {
  EXPECT_EQ(decode_command_reply(R"({"id":3,"reward":0.5})", 3)->reward, 0.5);
  EXPECT_EQ(decode_command_reply(R"( {"reward": -1, "id": 3, "note": "x", "parts": null, "error": null} )", 3)->reward,
            -1);
  const auto reply = decode_command_reply(R"({"id":3,"reward":1,"parts":{"b":2,"a":0.5}})", 3);
  EXPECT_THAT(reply->parts, ElementsAre(Pair("a", 0.5), Pair("b", 2)));
  EXPECT_EQ(decode_command_reply(R"({"id":3,"error":"no answer given"})", 3)->error, "no answer given");
  EXPECT_EQ(decode_command_reply(R"({"id":3,"error":""})", 3)->error, "it gives no reason");
}

TEST(CommandProtocolTest, BrokenRepliesAreNamedWithTheirBeginning) {
  const auto error_of = [](const std::string& line) {
    const auto reply = decode_command_reply(line, 3);
    return reply.ok() ? "no error" : reply.error().message();
  };
  EXPECT_EQ(error_of("Loading model..."), "answered with a line that is not JSON: \"Loading model...\"");
  EXPECT_THAT(error_of(""), HasSubstr("not JSON"));
  EXPECT_THAT(error_of("[3]"), HasSubstr("a JSON array instead of an object"));
  EXPECT_THAT(error_of(R"({"id":4,"reward":1})"), HasSubstr("another id than 3"));
  EXPECT_THAT(error_of(R"({"id":"3","reward":1})"), HasSubstr("another id"));
  EXPECT_THAT(error_of(R"({"reward":1})"), HasSubstr("another id"));
  EXPECT_THAT(error_of(R"({"id":3})"), HasSubstr("no finite number as \"reward\""));
  EXPECT_THAT(error_of(R"({"id":3,"reward":NaN})"), HasSubstr("not JSON"));
  EXPECT_THAT(error_of(R"({"id":3,"reward":1e999})"), HasSubstr("not JSON"));
  EXPECT_THAT(error_of(R"({"id":3,"reward":1e200})"), HasSubstr("no finite number"));
  EXPECT_THAT(error_of(R"({"id":3,"reward":"1"})"), HasSubstr("no finite number"));
  EXPECT_THAT(error_of(R"({"id":3,"reward":true})"), HasSubstr("no finite number"));
  EXPECT_THAT(error_of(R"({"id":3,"reward":1,"parts":[1]})"), HasSubstr("\"parts\""));
  EXPECT_THAT(error_of(R"({"id":3,"reward":1,"parts":{"a":"b"}})"), HasSubstr("\"parts\""));
  EXPECT_LT(error_of(std::string(1 << 20, '[')).size(), 300u);
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  EXPECT_THAT(error_of("{\"id\":3,\"error\":" + deep + "}"), HasSubstr("a line that nests too deeply"));
}

TEST(CommandProtocolTest, DamagedRepliesNeverCrash) {
  std::mt19937 random(4);
  const std::string good = R"({"id":3,"reward":0.5,"parts":{"a":1,"b":2},"error":null})";
  int num_good = 0;
  for (int round = 0; round < 20000; ++round) {
    const auto reply = decode_command_reply(testing::damaged(good, random), 3);
    if (!reply.ok()) continue;
    ++num_good;
    EXPECT_LE(std::abs(reply->reward), kRewardMax);
  }
  EXPECT_GT(num_good, 1000);
  EXPECT_LT(num_good, 15000);
}

}  // namespace
}  // namespace jigsaw
