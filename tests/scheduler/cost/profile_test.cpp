#include "scheduler/cost/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace jigsaw {
namespace {

using testing::HasSubstr;
using Kind = SubStageKind;

const std::string kShipped = std::string(JIGSAW_SOURCE_DIR) + "/configs/profiles/h100-tp4.yaml";

constexpr const char* kSmall = R"(name: laptop
kind: measured
source: "2 cores"
models:
- name: tiny
  decode: {batch: [1, 8], pass_s: [0.001, 0.002]}
  prefill: {token_s: 1e-5}
workloads:
- name: w
  model: tiny
  rollout_s: 10
  update_s: 5
  prompt_tokens: 10
  total_quantiles: [50, 100, 200]
  response_max: 300
slowdown:
- {first: update, second: decode.tail, share: 0.75, factors: [1.2, 1.5]}
)";

std::string with(const std::string& old_text, const std::string& new_text) {
  std::string text = kSmall;
  const auto at = text.find(old_text);
  EXPECT_NE(at, std::string::npos) << old_text;
  return text.replace(at, old_text.size(), new_text);
}

std::string errors_of(const std::string& text) {
  const auto parsed = Profile::parse(text, "p.yaml");
  return parsed.ok() ? "" : parsed.error().message();
}

void expect_equal(const Profile& a, const Profile& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.source, b.source);
  EXPECT_EQ(a.bins.tail_below, b.bins.tail_below);
  EXPECT_EQ(a.bins.wide_from, b.bins.wide_from);
  EXPECT_EQ(a.models, b.models);
  EXPECT_EQ(a.workloads, b.workloads);
  EXPECT_EQ(a.slowdown_model, b.slowdown_model);
  EXPECT_EQ(a.slowdown_rows, b.slowdown_rows);
}

TEST(ProfileTest, ReadsASmallOne) {
  const auto profile = Profile::parse(kSmall, "p.yaml");
  ASSERT_TRUE(profile.ok()) << profile.error().message();
  EXPECT_EQ(profile->kind, ProfileKind::kMeasured);
  EXPECT_EQ((*profile->model("tiny"))->decode_s(8, 0), 0.002);
  EXPECT_EQ((*profile->workload("w"))->samples_per_step(), 1024);
  EXPECT_EQ(profile->slowdown_table().factors(Kind::kDecodeTail, Kind::kUpdate, 0.25),
            (SlowdownTable::Factors{1.5, 1.2}));
}

TEST(ProfileTest, WhatIsWrittenReadsBackTheSame) {
  Profile profile = *Profile::parse(kSmall, "p.yaml");
  profile.source = "two lines\nand a \"quote\", a \\ and: # a colon";
  profile.models[0].decode[0].seconds = 0.1 + 0.2;  // not what it prints as with six digits
  profile.models[0].update_token_s = 1.0 / 3;
  profile.workloads[0].turns = {0.25, 0.75};
  profile.workloads[0].tool_s = {1, 2};
  profile.workloads[0].reward_s = 0.75;
  profile.workloads[0].response_lengths = {20, 30.5, 30.5, 300};
  profile.workloads[0].tool_tokens = 17;
  profile.slowdown_model.kinds[Kind::kDecodeBulk] = {0.8, 0.7};
  profile.slowdown_rows.push_back({Kind::kUpdate, Kind::kUpdate, 0.5, {2.1, 2.1}});
  const auto again = Profile::parse(profile.to_yaml(), "again.yaml");
  ASSERT_TRUE(again.ok()) << again.error().message() << "\n" << profile.to_yaml();
  expect_equal(*again, profile);

  Profile bare;
  bare.name = "bare";
  const auto bare_again = Profile::parse(bare.to_yaml(), "bare.yaml");
  ASSERT_TRUE(bare_again.ok()) << bare_again.error().message() << "\n" << bare.to_yaml();
  expect_equal(*bare_again, bare);
}

TEST(ProfileTest, TheShippedOneLoadsSavesAndLoadsAgain) {
  const auto profile = Profile::load(kShipped);
  ASSERT_TRUE(profile.ok()) << profile.error().message();
  EXPECT_EQ(profile->kind, ProfileKind::kSimulated);
  EXPECT_EQ(profile->bins.tail_below, 128);
  EXPECT_EQ(profile->bins.wide_from, 1024);
  EXPECT_EQ(profile->models.size(), 5u);
  EXPECT_EQ(profile->workloads.size(), 16u);
  EXPECT_EQ(profile->slowdown_model.kinds.size(), 7u);
  const auto file =
      std::filesystem::temp_directory_path() /
      ("jigsaw_profile_test_" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) + ".yaml");
  ASSERT_TRUE(profile->save(file).ok());
  const auto again = Profile::load(file);
  std::filesystem::remove(file);
  ASSERT_TRUE(again.ok()) << again.error().message();
  expect_equal(*again, *profile);
}

// Whatever shares a worker is no faster than alone, and no pair does worse than on time slices but for the overhead.
TEST(ProfileTest, TheShippedSlowdownsAreSound) {
  const auto profile = Profile::load(kShipped);
  ASSERT_TRUE(profile.ok()) << profile.error().message();
  const SlowdownTable table = profile->slowdown_table();
  for (const auto& row : table.rows()) {
    EXPECT_GE(row.factors.first, 1);
    EXPECT_GE(row.factors.second, 1);
    EXPECT_LE(1, 1.05 * (1 / row.factors.first + 1 / row.factors.second) + 1e-9) << to_string(row.first) << row.share;
  }
  // What the paper rests on: a tail beside an update costs both less than two bulk decodes or two updates.
  const auto total = [&](Kind a, Kind b) {
    const auto factors = table.factors(a, b, 0.5);
    return 1 / factors.first + 1 / factors.second;
  };
  EXPECT_GT(total(Kind::kDecodeTail, Kind::kUpdate), total(Kind::kDecodeBulk, Kind::kDecodeBulk));
  EXPECT_GT(total(Kind::kDecodeBulk, Kind::kDecodeBulk), total(Kind::kUpdate, Kind::kUpdate));
}

TEST(ProfileTest, AMissingFileIsAnError) {
  const auto missing = Profile::load("/nonexistent/p.yaml");
  ASSERT_FALSE(missing.ok());
  EXPECT_THAT(missing.error().message(), HasSubstr("/nonexistent/p.yaml"));
}

TEST(ProfileTest, ErrorsNameFileLineKeyAndTheNearestName) {
  EXPECT_THAT(errors_of(with("rollout_s", "rolout_s")),
              testing::AllOf(HasSubstr("p.yaml:9: workloads[0].rollout_s: missing"),
                             HasSubstr("p.yaml:11: workloads[0]: unknown key 'rolout_s'; did you mean 'rollout_s'")));
  EXPECT_THAT(errors_of(with("model: tiny", "model: tny")),
              HasSubstr("p.yaml:10: workloads[0].model: unknown value 'tny'; did you mean 'tiny'"));
  EXPECT_THAT(errors_of(with("decode.tail", "decode.tial")),
              HasSubstr("p.yaml:17: slowdown[0].second: unknown value 'decode.tial'; did you mean 'decode.tail'"));
  EXPECT_THAT(errors_of(with("kind: measured", "kind: guessed")), HasSubstr("p.yaml:2: kind: unknown value"));
  EXPECT_THAT(errors_of(with("[1.2, 1.5]", "[1.2]")), HasSubstr("slowdown[0].factors: expected 2 numbers, found 1"));
  EXPECT_THAT(errors_of(with("share: 0.75", "share: 1")), HasSubstr("slowdown[0].share: 1 is above"));
  EXPECT_THAT(errors_of(with("[0.001, 0.002]", "[0.001]")), HasSubstr("p.yaml:6: models[0].decode.pass_s"));
  EXPECT_THAT(errors_of(with("[1, 8]", "[8, 1]")), HasSubstr("models[0].decode.batch: batches have to ascend"));
  EXPECT_THAT(errors_of(with("[50, 100, 200]", "[5, 100, 200]")), HasSubstr("workloads[0].total_quantiles"));
  EXPECT_THAT(errors_of(with("response_max: 300", "response_max: 300\n  tool_s: [2, 3]")), HasSubstr("two turns"));
  for (const char* lengths : {"[2, 1]", "[1, 301]"}) {
    EXPECT_THAT(errors_of(with("response_max: 300", std::string("response_max: 300\n  response_lengths: ") + lengths)),
                HasSubstr("workloads[0].response_lengths: expected"));
  }
  EXPECT_THAT(errors_of(with("- name: w", "- name: w\n  turns: [0]")), HasSubstr("workloads[0].turns"));
  EXPECT_THAT(errors_of(std::string(kSmall) + "slowdwn: 1\n"), HasSubstr("did you mean 'slowdown'"));
  EXPECT_THAT(errors_of(with("slowdown:", "slowdown_model: {kinds: {tool: {saturates_at: 1}}}\nslowdown:")),
              HasSubstr("slowdown_model.kinds: unknown key 'tool'"));
}

TEST(ProfileTest, AllProblemsComeAtOnce) {
  const std::string errors = errors_of("name: x\nkind: measured\nsource: s\nmodels:\n- {name: a}\n- {name: a}\n");
  EXPECT_THAT(errors, HasSubstr("models[0].decode: missing"));
  EXPECT_THAT(errors, HasSubstr("models[1].name: 'a' is there twice"));
}

TEST(ProfileTest, UnknownNamesSuggestTheNearest) {
  const auto profile = Profile::load(kShipped);
  ASSERT_TRUE(profile.ok());
  const auto workload = profile->workload("gsm8k-qwen-4b");
  ASSERT_FALSE(workload.ok());
  EXPECT_EQ(workload.error().code(), ErrorCode::kNotFound);
  EXPECT_THAT(workload.error().message(), HasSubstr("did you mean 'gsm8k-qwen3-4b'"));
  EXPECT_THAT(profile->model("qwen3-4").error().message(), HasSubstr("did you mean 'qwen3-4b'"));
}

}  // namespace
}  // namespace jigsaw
