#include "rollout/engine/request_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

namespace jigsaw {
namespace {

using ::testing::HasSubstr;

const RequestLimits kLimits{.vocab_size = 10, .max_positions = 64, .num_kv_blocks = 3, .has_tokenizer = true};

RolloutRequest good_request() {
  RolloutRequest request;
  request.id = 7;
  request.prompt = {1, 2, 3};
  request.sampling.max_new_tokens = 46;  // 48 of 49 tokens are run: three blocks
  return request;
}

std::string error_of(const std::function<void(RolloutRequest&)>& change, RequestLimits limits = kLimits) {
  RolloutRequest request = good_request();
  change(request);
  const Status status = validate(request, limits);
  if (status.ok()) return "";
  EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(status.error().message(), HasSubstr("rollout request 7: "));
  return status.error().message();
}

TEST(RequestCheckTest, AcceptsWhatFits) {
  EXPECT_EQ(error_of([](auto&) {}), "");
  EXPECT_EQ(error_of([](auto& r) { r.sampling.max_new_tokens = 0; }), "");
  // max_positions bounds the completion too, so that the pool need not hold what is asked for.
  EXPECT_EQ(error_of([](auto& r) { r.sampling.max_new_tokens = 1 << 30; },
                     {.vocab_size = 10, .max_positions = 49, .num_kv_blocks = 3}),
            "");
}

TEST(RequestCheckTest, NamesWhatIsWrong) {
  EXPECT_THAT(error_of([](auto& r) { r.prompt.clear(); }), HasSubstr("prompt is empty"));
  EXPECT_THAT(error_of([](auto& r) { r.prompt[1] = 10; }), HasSubstr("prompt[1]: token 10 is outside"));
  EXPECT_THAT(error_of([](auto& r) { r.prompt[0] = -1; }), HasSubstr("prompt[0]: token -1 is outside"));
  EXPECT_THAT(error_of([](auto& r) { r.partial_tokens = {1}; }), HasSubstr("0 partial_logprobs for 1 partial_tokens"));
  EXPECT_THAT(error_of([](auto& r) {
                r.partial_tokens = {99};
                r.partial_logprobs = {0};
              }),
              HasSubstr("partial_tokens[0]: token 99"));
  EXPECT_THAT(error_of([](auto& r) { r.prompt.assign(64, 1); }), HasSubstr("no room below max_positions (64)"));
  EXPECT_THAT(error_of([](auto& r) {
                r.partial_tokens.assign(62, 1);
                r.partial_logprobs.assign(62, 0);
              }),
              HasSubstr("no room below max_positions"));
  EXPECT_THAT(error_of([](auto& r) { r.sampling.max_new_tokens = 47; }), HasSubstr("need 4 KV blocks"));
  EXPECT_THAT(error_of([](auto& r) { r.sampling.stop_strings = {"x"}; },
                       {.vocab_size = 10, .max_positions = 64, .num_kv_blocks = 4}),
              HasSubstr("tokenizer"));
  EXPECT_THAT(error_of([](auto& r) { r.sampling.stop_strings = {""}; }), HasSubstr("stop_strings"));
}

TEST(RequestCheckTest, ChecksSamplingParams) {
  const auto is_valid = [](const SamplingParams& params) { return validate(params).ok(); };
  EXPECT_TRUE(is_valid({}));
  EXPECT_TRUE(is_valid({.temperature = 0, .top_k = 5, .top_p = 0.1f}));
  EXPECT_FALSE(is_valid({.temperature = -1}));
  EXPECT_FALSE(is_valid({.temperature = std::nanf("")}));
  EXPECT_FALSE(is_valid({.temperature = INFINITY}));
  EXPECT_FALSE(is_valid({.top_k = -1}));
  EXPECT_FALSE(is_valid({.top_p = 0}));
  EXPECT_FALSE(is_valid({.top_p = 1.5f}));
  EXPECT_FALSE(is_valid({.top_p = std::nanf("")}));
  EXPECT_FALSE(is_valid({.max_new_tokens = -1}));
}

TEST(RequestCheckTest, ChecksEngineOptions) {
  EXPECT_TRUE(validate(EngineOptions{}).ok());
  EXPECT_FALSE(validate(EngineOptions{.max_batch = 0}).ok());
  EXPECT_FALSE(validate(EngineOptions{.max_step_tokens = 0}).ok());
  EXPECT_FALSE(validate(EngineOptions{.max_positions = 1}).ok());
  EXPECT_FALSE(validate(EngineOptions{.max_positions = kMaxPositionsLimit + 1}).ok());
}

}  // namespace
}  // namespace jigsaw
