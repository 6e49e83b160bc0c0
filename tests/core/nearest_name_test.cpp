#include "core/nearest_name.h"

#include <gtest/gtest.h>

#include <vector>

namespace jigsaw {
namespace {

const std::vector<std::string> kNames = {"temperature", "top_k", "top_p", "max_new_tokens"};

TEST(NearestNameTest, FindsTheTypo) {
  EXPECT_EQ(nearest_name("temprature", kNames), "temperature");
  EXPECT_EQ(nearest_name("max_tokens", kNames), "");  // four letters away of ten: no typo any more
  EXPECT_EQ(nearest_name("topk", kNames), "top_k");
}

TEST(NearestNameTest, SuggestsNothingForSomethingElse) { EXPECT_EQ(nearest_name("learning_rate", kNames), ""); }

TEST(NearestNameTest, MessageNamesSuggestionAndKnownOnes) {
  EXPECT_EQ(unknown_name_message("key", "topp", kNames),
            "unknown key 'topp'; did you mean 'top_p'? Known: temperature, top_k, top_p, max_new_tokens");
}

}  // namespace
}  // namespace jigsaw
