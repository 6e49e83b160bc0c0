#include "workers/job/completion_lengths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace jigsaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(CompletionLengthsTest, PartsStandOneAfterTheOther) {
  EXPECT_THAT(parse_completion_lengths("2x16,1x256,1x3").value(), ElementsAre(16, 16, 256, 3));
}

TEST(CompletionLengthsTest, AnythingElseIsRefusedByName) {
  for (const char* text : {"", ",", "16", "x16", "2x", "2x16x3", "2x16 3", "0x16", "2x0", "-1x4", "5000x1", "1x2000000",
                           "2x16,,1x3", "2*16"}) {
    const auto lengths = parse_completion_lengths(text);
    ASSERT_FALSE(lengths.ok()) << text;
    EXPECT_THAT(lengths.error().message(), HasSubstr(text));
  }
}

}  // namespace
}  // namespace jigsaw
