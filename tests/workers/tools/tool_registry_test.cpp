#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "workers/tools/tool.h"

namespace jigsaw {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Of a config that is good but for `change`.
template <typename Change>
std::string error_of(const std::string& type, const Change& change) {
  ToolConfig config;
  config.type = type;
  if (type == "command") config.command.argv = {"/bin/sh", "-c", "exec cat"};
  change(config);
  const auto tool = make_tool(config);
  return tool.ok() ? "no error" : tool.error().message();
}

TEST(ToolRegistryTest, TypesAreListedAndSuggested) {
  EXPECT_THAT(tool_types(), ElementsAre("calculator", "command"));
  for (const std::string& type : tool_types()) EXPECT_EQ(error_of(type, [](ToolConfig&) {}), "no error");
  EXPECT_THAT(error_of("calculater", [](ToolConfig&) {}), HasSubstr("did you mean 'calculator'?"));
}

TEST(ToolRegistryTest, FieldsThatTheTypeDoesNotUseAreErrors) {
  EXPECT_EQ(error_of("calculator", [](ToolConfig& config) { config.command.argv = {"sh"}; }),
            "tool 'calculator': this type does not use 'command'");
  EXPECT_THAT(error_of("calculator", [](ToolConfig& config) { config.command.memory_bytes_max = 0; }),
              HasSubstr("does not use 'memory_gb'"));
}

TEST(ToolRegistryTest, OnErrorIsOneOfTwo) {
  for (const std::string& type : tool_types()) {
    EXPECT_THAT(error_of(type, [](ToolConfig& config) { config.on_error = "ignore"; }),
                HasSubstr("on_error is 'ignore', but must be value or fail"));
    EXPECT_EQ(error_of(type, [](ToolConfig& config) { config.on_error = "fail"; }), "no error");
  }
}

TEST(ToolRegistryTest, CommandsAreCheckedAndStarted) {
  EXPECT_THAT(error_of("command", [](ToolConfig& config) { config.command.argv.clear(); }),
              HasSubstr("tool 'command': needs a 'command'"));
  EXPECT_THAT(error_of("command", [](ToolConfig& config) { config.command.argv = {"no-such-search"}; }),
              AllOf(HasSubstr("tool 'command'"), HasSubstr("no such program in PATH")));
  EXPECT_THAT(error_of("command", [](ToolConfig& config) { config.command.processes = 257; }),
              HasSubstr("processes is 257, but must be from 1 to 256"));
  EXPECT_THAT(error_of("command", [](ToolConfig& config) { config.command.time_limit = milliseconds(0); }),
              HasSubstr("time_limit_s"));
}

TEST(ToolRegistryTest, ReadmeTellsEveryType) {
  std::ifstream file(std::string(JIGSAW_SOURCE_DIR) + "/workers/tools/README.md");
  const std::string readme((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  for (const std::string& type : tool_types()) EXPECT_THAT(readme, HasSubstr("| `" + type + "` |"));
}

}  // namespace
}  // namespace jigsaw
