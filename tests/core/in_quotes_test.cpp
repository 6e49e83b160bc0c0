#include "core/in_quotes.h"

#include <gtest/gtest.h>

namespace jigsaw {
namespace {

TEST(InQuotesTest, ShowsWhatATerminalWouldNot) {
  EXPECT_EQ(in_quotes("a\nb\x1b[0m\xff é"), "\"a\\nb\\x1b[0m\\xff é\"");
  EXPECT_EQ(in_quotes(std::string(500, 'x')), "\"" + std::string(120, 'x') + "\"...");
}

}  // namespace
}  // namespace jigsaw
