#include "workers/tools/tool_protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "core/utf8.h"
#include "tests/workers/commands/damaged_line.h"
#include "workers/commands/command_lines.h"

namespace jigsaw {
namespace {

using ::testing::HasSubstr;

TEST(ToolProtocolTest, RequestsAreOneLineWithKeysInOrder) {
  ToolRequest request;
  request.id = 99;  // ours, not the one on the wire
  request.call = "a \"b\"\n";
  request.call_index = 2;
  request.prompt = "é";
  request.completion = "\xff\\";
  request.extra_json = "{\"x\": [1,\r\n 2]}";
  EXPECT_EQ(
      request_line(3, encode_tool_request(request)),
      "{\"id\":3,\"call\":\"a \\\"b\\\"\\n\",\"call_index\":2,\"prompt\":\"é\",\"completion\":\"\xEF\xBF\xBD\\\\\","
      "\"extra\":{\"x\": [1,   2]}}");
  EXPECT_EQ(request_line(1, encode_tool_request({})),
            R"({"id":1,"call":"","call_index":0,"prompt":"","completion":"","extra":{}})");
}

TEST(ToolProtocolTest, GoodRepliesAreDecoded) {
  EXPECT_EQ(decode_tool_reply(R"({"id":3,"answer":"Lima"})", 3)->answer, "Lima");
  EXPECT_EQ(decode_tool_reply(R"({"id":3,"answer":""})", 3)->answer, "");
  EXPECT_EQ(decode_tool_reply(R"( {"answer": "a\nb é", "id": 3, "note": 1, "error": null} )", 3)->answer, "a\nb é");
  EXPECT_EQ(decode_tool_reply(R"({"id":3,"error":"no such page"})", 3)->error, "no such page");
  EXPECT_EQ(decode_tool_reply(R"({"id":3,"answer":"x","error":""})", 3)->error, "it gives no reason");
  EXPECT_EQ(decode_tool_reply("{\"id\":3,\"answer\":\"" + std::string(65536, 'x') + "\"}", 3)->answer.size(), 65536u);
}

TEST(ToolProtocolTest, BytesThatAreNotUtf8AreReplaced) {
  EXPECT_EQ(decode_tool_reply("{\"id\":3,\"answer\":\"caf\xe9 \xe2\x82 \xed\xa0\x80\"}", 3)->answer,
            "caf\xEF\xBF\xBD \xEF\xBF\xBD \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(ToolProtocolTest, BrokenRepliesAreNamedWithTheirBeginning) {
  const auto error_of = [](const std::string& line) {
    const auto reply = decode_tool_reply(line, 3);
    return reply.ok() ? "no error" : reply.error().message();
  };
  EXPECT_EQ(error_of("Loading index..."), "answered with a line that is not JSON: \"Loading index...\"");
  EXPECT_THAT(error_of(""), HasSubstr("not JSON"));
  EXPECT_THAT(error_of(R"("Lima")"), HasSubstr("a JSON string instead of an object"));
  EXPECT_THAT(error_of(R"({"id":4,"answer":"x"})"), HasSubstr("another id than 3"));
  EXPECT_THAT(error_of(R"({"answer":"x"})"), HasSubstr("another id than 3"));
  EXPECT_THAT(error_of(R"({"id":3})"), HasSubstr("no text as \"answer\""));
  EXPECT_THAT(error_of(R"({"id":3,"answer":42})"), HasSubstr("no text as \"answer\""));
  EXPECT_THAT(error_of(R"({"id":3,"answer":null})"), HasSubstr("no text as \"answer\""));
  EXPECT_THAT(error_of(R"({"id":3,"answer":"a\u0000b"})"), HasSubstr("a zero byte in its \"answer\""));
  EXPECT_THAT(error_of(std::string("{\"id\":3,\"answer\":\"x\"}\0{}", 25)), HasSubstr("not JSON"));
  EXPECT_THAT(error_of("{\"id\":3,\"answer\":\"" + std::string(65537, 'x') + "\"}"),
              HasSubstr("an \"answer\" of over 65536 bytes"));
  EXPECT_THAT(error_of("{\"id\":3,\"error\":" + std::string(100, '[') + std::string(100, ']') + "}"),
              HasSubstr("nests too deeply"));
  EXPECT_LT(error_of(std::string(1 << 20, 'x')).size(), 300u);
}

TEST(ToolProtocolTest, DamagedRepliesNeverCrash) {
  std::mt19937 random(5);
  const std::string good = "{\"id\":3,\"answer\":\"Lima \xF0\x9F\x98\x80\",\"error\":null}";
  int num_good = 0;
  for (int round = 0; round < 20000; ++round) {
    const auto reply = decode_tool_reply(testing::damaged(good, random), 3);
    if (!reply.ok()) continue;
    ++num_good;
    EXPECT_TRUE(utf8_is_well_formed(reply->answer));
  }
  EXPECT_GT(num_good, 1000);
  EXPECT_LT(num_good, 15000);
}

}  // namespace
}  // namespace jigsaw
