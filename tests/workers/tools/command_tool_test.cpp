// The tool of an external command: over fake processes and a clock that stands still, and over /bin/sh.
#include "workers/tools/command_tool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "core/utf8.h"
#include "tests/support/fake_clock.h"
#include "tests/workers/commands/fake_children.h"

namespace jigsaw {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

ToolConfig config_of(std::vector<std::string> argv) {
  ToolConfig config;
  config.type = "command";
  config.command.argv = std::move(argv);
  config.error_answer = "sorry";
  return config;
}

ToolRequest request_of(std::uint64_t id, const std::string& call) {
  ToolRequest request;
  request.id = id;
  request.call = call;
  return request;
}

// A tool over fake processes whose good answers repeat the call.
struct FakeTool {
  FakeClock clock;
  FakeLauncher* launcher = nullptr;  // the tool's own
  std::unique_ptr<Tool> tool;
  std::map<std::uint64_t, ToolReply> replies;
  std::string failure;

  explicit FakeTool(const ToolConfig& config) {
    auto owned = std::make_unique<FakeLauncher>();
    launcher = owned.get();
    launcher->answer = [](const nlohmann::json& request) { return nlohmann::json{{"answer", request["call"]}}; };
    auto made = CommandTool::create(config, std::move(owned), clock);
    EXPECT_TRUE(made.ok());
    tool = std::move(*made);
  }

  void submit(std::uint64_t id, const std::string& call) {
    if (const auto status = tool->submit(request_of(id, call)); !status.ok()) failure = status.error().message();
  }
  void poll() {
    auto polled = tool->poll();
    if (!polled) {
      failure = polled.error().message();
      return;
    }
    for (ToolReply& reply : *polled) {
      EXPECT_TRUE(replies.emplace(reply.id, reply).second) << "request " << reply.id << " answered twice";
    }
  }
};

ToolConfig fake_config() { return config_of({"search", "--fast"}); }

TEST(CommandToolTest, EachCallGetsItsOwnAnswer) {
  ToolConfig config = fake_config();
  config.command.processes = 2;
  FakeTool fake(config);
  fake.launcher->act = [](const auto& request, int) {
    return FakeAct{FakeAct::kAnswer, request["call"] == "call 1" ? 2 : 0};
  };
  for (std::uint64_t id = 1; id <= 5; ++id) fake.submit(id, "call " + std::to_string(id));
  fake.clock.advance(milliseconds(2100));
  EXPECT_EQ(fake.tool->waiting_for(),
            "tool 'command': 2 requests at processes 1000, 1001, oldest 2.1 s of 10 s; 3 queued");
  EXPECT_EQ(fake.tool->num_outstanding(), 5u);
  for (int i = 0; i < 6; ++i) fake.poll();
  ASSERT_EQ(fake.replies.size(), 5u);
  for (std::uint64_t id = 1; id <= 5; ++id) {
    EXPECT_EQ(fake.replies[id].answer, "call " + std::to_string(id));
    EXPECT_EQ(fake.replies[id].error, "");
  }
  EXPECT_EQ(fake.tool->num_outstanding(), 0u);
  EXPECT_EQ(fake.tool->waiting_for(), "");
}

TEST(CommandToolTest, ABreachOfTheProtocolIsTriedOnceMoreByAnotherProcess) {
  FakeTool fake(fake_config());
  int num_sent = 0;
  fake.launcher->act = [&](const auto&, int) {
    return FakeAct{num_sent++ == 0 ? FakeAct::kSay : FakeAct::kAnswer, 0, R"({"id":1,"answer":42})"};
  };
  fake.submit(1, "x");
  fake.poll();
  fake.poll();
  EXPECT_EQ(fake.replies[1].answer, "x");
  EXPECT_EQ(fake.launcher->num_launched, 2);
}

TEST(CommandToolTest, AnAnswerBeforeTheWholeRequestWasReadDoesNotCount) {
  ToolConfig config = fake_config();
  config.command.retries = 0;
  FakeTool fake(config);
  fake.launcher->act = [](const auto&, int) { return FakeAct{FakeAct::kAnswerUnread, 0}; };
  fake.submit(1, "x");
  fake.poll();
  EXPECT_EQ(fake.replies[1].answer, "sorry");
  EXPECT_THAT(fake.replies[1].error, HasSubstr("answered before it had read the request: \"{"));
}

TEST(CommandToolTest, ThenTheConfiguredAnswerIsTakenWithTheReason) {
  FakeTool fake(fake_config());
  fake.launcher->act = [](const auto&, int) { return FakeAct{FakeAct::kDie, 0}; };
  fake.submit(7, "x");
  for (int i = 0; i < 3; ++i) fake.poll();
  EXPECT_EQ(fake.replies[7].answer, "sorry");
  EXPECT_EQ(fake.replies[7].error,
            "tool 'command' (search --fast): request 7: process 1001 exited with status 3; stderr ends \"panic!\" "
            "(attempt 2)");
}

TEST(CommandToolTest, SoItIsForACallThatTakesTooLong) {
  ToolConfig config = fake_config();
  config.command.time_limit = milliseconds(500);
  FakeTool fake(config);
  fake.launcher->act = [](const auto& request, int) {
    return FakeAct{request["call"] == "slow" ? FakeAct::kHang : FakeAct::kAnswer, 0};
  };
  fake.submit(1, "slow");
  fake.submit(2, "fast");
  fake.clock.advance(milliseconds(499));
  fake.poll();
  EXPECT_TRUE(fake.replies.empty());
  fake.clock.advance(milliseconds(1));
  fake.poll();
  fake.poll();
  EXPECT_THAT(fake.replies[1].error, HasSubstr("gave no answer within the time limit of 0.5 s"));
  EXPECT_EQ(fake.replies[2].answer, "fast");
}

TEST(CommandToolTest, AndForWhatTheProgramSaysItCannotAnswer) {
  FakeTool fake(fake_config());
  fake.launcher->answer = [](const auto&) { return nlohmann::json{{"error", "no such page"}}; };
  fake.submit(1, "x");
  fake.poll();
  EXPECT_EQ(fake.replies[1].answer, "sorry");
  EXPECT_EQ(fake.replies[1].error, "tool 'command' (search --fast): request 1: the program says: \"no such page\"");
  EXPECT_EQ(fake.launcher->num_alive, 1);
}

TEST(CommandToolTest, OrTheRunEndsForGoodAndItsProcessesWithIt) {
  ToolConfig config = fake_config();
  config.on_error = "fail";
  config.command.processes = 2;
  config.command.retries = 0;
  FakeTool fake(config);
  fake.launcher->act = [](const auto&, int) { return FakeAct{FakeAct::kSay, 0, "Loading..."}; };
  fake.submit(7, "x");
  fake.poll();
  EXPECT_EQ(fake.failure,
            "tool 'command' (search --fast): request 7: process 1000 answered with a line that is not JSON: "
            "\"Loading...\"; stderr ends \"panic!\"");
  for (const bool submits : {true, false}) {
    fake.failure.clear();
    if (submits) {
      fake.submit(8, "y");
    } else {
      fake.poll();
    }
    EXPECT_THAT(fake.failure, HasSubstr("request 7"));
  }
  EXPECT_EQ(fake.tool->num_outstanding(), 0u);
  EXPECT_EQ(fake.tool->waiting_for(), "");
}

TEST(CommandToolTest, ReasonsAreValidUtf8WhereverTheyAreCut) {
  for (std::size_t padding = 0; padding < 4; ++padding) {
    std::string text(padding, 'x');
    for (int i = 0; i < 200; ++i) text += "\xF0\x9F\x98\x80";
    FakeTool fake(config_of({text}));
    fake.launcher->answer = [&](const auto&) { return nlohmann::json{{"error", text}}; };
    fake.submit(1, "x");
    fake.poll();
    EXPECT_TRUE(utf8_is_well_formed(fake.replies[1].error)) << fake.replies[1].error;
  }
}

TEST(CommandToolTest, AnIdThatIsOutstandingIsRefused) {
  FakeTool fake(fake_config());
  fake.submit(1, "x");
  fake.submit(1, "y");
  EXPECT_EQ(fake.failure, "tool 'command': request 1 is outstanding already");
  fake.poll();
  EXPECT_EQ(fake.replies[1].answer, "x");
}

// A real program: polled until it has answered, which only a failing test has to wait for.
ToolReply reply_of(Tool& tool, const ToolRequest& request) {
  EXPECT_TRUE(tool.submit(request).ok());
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::chrono::steady_clock::now() < end) {
    auto replies = tool.poll();
    if (!replies.ok()) return {.id = 0, .answer = {}, .error = replies.error().message()};
    if (!replies->empty()) return replies->front();
    std::this_thread::yield();
  }
  return {.id = 0, .answer = {}, .error = "no reply"};
}

std::unique_ptr<Tool> shell_tool(const std::string& script, const std::string& on_error = "value") {
  ToolConfig config = config_of({"/bin/sh", "-c", script});
  config.on_error = on_error;
  auto tool = make_tool(config);
  EXPECT_TRUE(tool.ok()) << (tool.ok() ? "" : tool.error().message());
  return std::move(*tool);
}

TEST(CommandToolProcessTest, AShellScriptAnswers) {
  const auto tool = shell_tool(R"(
    while IFS= read -r line; do
      id=${line#'{"id":'}; id=${id%%,*}
      call=${line#*'"call":"'}; call=${call%%'"'*}
      printf '{"id":%s,"answer":"%s \351!"}\n' "$id" "$call"
    done)");
  for (std::uint64_t id = 10; id < 15; ++id) {
    const ToolReply reply = reply_of(*tool, request_of(id, "call " + std::to_string(id)));
    EXPECT_EQ(reply.id, id);
    EXPECT_EQ(reply.error, "");
    EXPECT_EQ(reply.answer, "call " + std::to_string(id) + " \xEF\xBF\xBD!");
  }
}

TEST(CommandToolProcessTest, LargeCallsPassThroughWholePipes) {
  const auto tool = shell_tool(R"(
    while IFS= read -r line; do
      id=${line#'{"id":'}; id=${id%%,*}
      printf '{"id":%s,"answer":"%s"}\n' "$id" "${#line}"
    done)");
  const ToolReply reply = reply_of(*tool, request_of(1, std::string(1 << 17, 'x')));
  EXPECT_EQ(reply.error, "");
  EXPECT_GT(std::stoi("0" + reply.answer), 1 << 17);
}

TEST(CommandToolProcessTest, AProgramThatEndsIsNamedWithItsLastWords) {
  const char* script = "read -r line; echo 'no index here' >&2; exit 4";
  const ToolReply reply = reply_of(*shell_tool(script), request_of(1, "x"));
  EXPECT_EQ(reply.answer, "sorry");
  EXPECT_THAT(reply.error, AllOf(StartsWith("tool 'command' (/bin/sh -c read -r line;"),
                                 HasSubstr("exited with status 4; stderr ends \"no index here\\n\" (attempt 2)")));
  EXPECT_THAT(reply_of(*shell_tool(script, "fail"), request_of(1, "x")).error, HasSubstr("exited with status 4"));
}

}  // namespace
}  // namespace jigsaw
