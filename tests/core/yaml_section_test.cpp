#include "core/config/yaml_section.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace jigsaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

YamlSection parse(const std::string& text) {
  auto parsed = YamlSection::parse(text, "job.yaml");
  EXPECT_TRUE(parsed.ok());
  return *parsed;
}

TEST(YamlSectionTest, ReadsTypedValuesAndLeavesAbsentOnesAlone) {
  YamlSection yaml = parse("steps: 5\nlr: 1e-3\nname: x\non: true\nstop: [a, b]\n");
  int steps = 1, absent = 42;
  double lr = 0;
  std::string name;
  bool on = false;
  std::vector<std::string> stop;
  yaml.read("steps", steps);
  yaml.read("absent", absent);
  yaml.read("lr", lr);
  yaml.read("name", name);
  yaml.read("on", on);
  yaml.read("stop", stop);
  yaml.finish();
  EXPECT_EQ(yaml.errors(), "");
  EXPECT_EQ(steps, 5);
  EXPECT_EQ(absent, 42);
  EXPECT_EQ(lr, 1e-3);
  EXPECT_EQ(name, "x");
  EXPECT_TRUE(on);
  EXPECT_THAT(stop, ElementsAre("a", "b"));
}

TEST(YamlSectionTest, CollectsEveryProblemWithItsPlace) {
  YamlSection yaml = parse("train:\n  steps: many\n  lr: -1\n  stepz: 3\n");
  YamlSection train = yaml.section("train");
  int steps = 1;
  double lr = 1;
  train.read("steps", steps);
  train.read("lr", lr, 0, 10);
  train.finish();
  yaml.finish();
  EXPECT_THAT(yaml.errors(), HasSubstr("job.yaml:2: train.steps: expected a whole number, found 'many'"));
  EXPECT_THAT(yaml.errors(), HasSubstr("job.yaml:3: train.lr: -1 is below 0"));
  EXPECT_THAT(yaml.errors(), HasSubstr("job.yaml:4: train: unknown key 'stepz'; did you mean 'steps'?"));
  EXPECT_EQ(steps, 1);
  EXPECT_EQ(lr, 1);
}

TEST(YamlSectionTest, AKeyGivenTwiceIsAnError) {
  YamlSection yaml = parse("seed: 1\nseed: 2\n");
  std::uint64_t seed = 0;
  yaml.read("seed", seed);
  yaml.finish();
  EXPECT_THAT(yaml.errors(), HasSubstr("seed: given twice"));
}

TEST(YamlSectionTest, SetReachesListItemsByNameAndNumber) {
  YamlSection yaml = parse("pipelines:\n- name: a\n  train: {steps: 1}\n- name: b\n");
  ASSERT_TRUE(yaml.set("pipelines.a.train.steps", "7").ok());
  ASSERT_TRUE(yaml.set("pipelines.1.train.steps", "8").ok());
  const Status wrong = yaml.set("pipelines.c.train.steps", "9");
  ASSERT_FALSE(wrong.ok());
  EXPECT_THAT(wrong.error().message(), HasSubstr("no item 'c'"));
  auto items = yaml.list("pipelines");
  ASSERT_EQ(items.size(), 2u);
  int steps = 0;
  items[0].section("train").read("steps", steps);
  EXPECT_EQ(steps, 7);
  items[1].section("train").read("steps", steps);
  EXPECT_EQ(steps, 8);
}

TEST(YamlSectionTest, AListOfNumbersIsReadWholeOrNotAtAll) {
  YamlSection yaml = parse("good: [1, 2.5, 1e-3]\nbad: [1, two, -3]\nsingle: 4\n");
  std::vector<double> good, bad = {7}, single = {8};
  yaml.read("good", good);
  yaml.read("bad", bad, 0, 10);
  yaml.read("single", single);
  EXPECT_THAT(good, ElementsAre(1, 2.5, 1e-3));
  EXPECT_THAT(bad, ElementsAre(7));
  EXPECT_THAT(single, ElementsAre(8));
  EXPECT_THAT(yaml.errors(), HasSubstr("job.yaml:2: bad[1]: expected a finite number"));
  EXPECT_THAT(yaml.errors(), HasSubstr("job.yaml:2: bad[2]: -3 is below 0"));
  EXPECT_THAT(yaml.errors(), HasSubstr("job.yaml:3: single: expected a list of numbers"));
}

TEST(YamlSectionTest, WithoutLeavesKeysOut) {
  const YamlSection yaml = parse("workers: 2\npipelines:\n- {name: a, weight: 1}\n- {name: b, weight: 2}\n");
  const std::string text = yaml.without({"workers", "pipelines.*.weight"});
  EXPECT_THAT(text, testing::Not(HasSubstr("weight")));
  EXPECT_THAT(text, testing::Not(HasSubstr("workers")));
  EXPECT_THAT(text, HasSubstr("name: b"));
  EXPECT_THAT(yaml.to_yaml(), HasSubstr("workers"));
}

TEST(YamlSectionTest, BrokenYamlNamesTheLine) {
  const auto parsed = YamlSection::parse("a: 1\nb: [1, 2\n", "job.yaml");
  ASSERT_FALSE(parsed.ok());
  EXPECT_THAT(parsed.error().message(), HasSubstr("job.yaml:"));
  EXPECT_FALSE(YamlSection::parse("- just\n- a list\n", "job.yaml").ok());
  EXPECT_FALSE(YamlSection::parse("", "job.yaml").ok());
}

}  // namespace
}  // namespace jigsaw
