// Loss, gradient norm, advantages and gradient entries of every algorithm against golden/losses.json, which was made
// with transformers' models and TRL's formulas (golden/make_goldens.py).
#include <gtest/gtest.h>

#include <cmath>

#include "tests/workers/trainer/tiny_models.h"
#include "workers/trainer/loss_command.h"
#include "workers/trainer/trainer.h"

namespace jigsaw {
namespace {

void expect_close(double actual, double expected, double scale, const std::string& what) {
  EXPECT_NEAR(actual, expected, 1e-4 * std::max(std::abs(expected), scale)) << what;
}

TEST(LossGoldenTest, EveryAlgorithmAndSetting) {
  const nlohmann::json golden = read_golden("losses.json");
  ASSERT_GE(golden["cases"].size(), 180u);
  Lane lane(2);
  for (const auto& the_case : golden["cases"]) {
    const auto& model = golden["models"][the_case["model"].get<std::string>()];
    const std::string what = "case " + the_case["model"].dump() + " " + the_case["algorithm"].dump() + " " +
                             the_case["settings"].dump() + " with_old " + the_case["with_old"].dump();
    std::vector<std::string> settings;
    for (const auto& [key, value] : the_case["settings"].items()) {
      settings.push_back(key + "=" + value.get<std::string>());
    }
    const Result<AlgorithmConfig> algorithm = parse_algorithm(the_case["algorithm"], settings);
    ASSERT_TRUE(algorithm.ok()) << what << algorithm.error().message();
    std::vector<TrainingSample> samples = golden_batch(model["batch"]);
    if (!the_case["with_old"].get<bool>()) {
      for (TrainingSample& sample : samples) sample.old_logprobs.clear();
    }
    const auto weights = tiny_model(the_case["model"].get<std::string>());
    std::vector<float> gradient;
    const Result<LossReport> report = compute_loss(lane, *weights, *algorithm, samples, &gradient);
    ASSERT_TRUE(report.ok()) << what << report.error().message();

    // A loss can be a difference of terms of size 1, so that is its scale; the norm is the entries'.
    expect_close(report->loss, the_case["loss"], 0.01, what + " loss");
    expect_close(report->grad_norm, the_case["grad_norm"], 0, what + " grad_norm");
    const auto advantages = the_case["advantages"].get<std::vector<double>>();
    ASSERT_EQ(report->advantages.size(), advantages.size());
    for (std::size_t i = 0; i < advantages.size(); ++i) {
      expect_close(report->advantages[i], advantages[i], 0.01, what + " advantage " + std::to_string(i));
    }
    for (std::size_t i = 0; i < model["entries"].size(); ++i) {
      const auto& entry = model["entries"][i];
      const std::size_t index = flat_index(weights->layout(), entry[0], entry[1], entry[2]);
      expect_close(gradient[index], the_case["gradient"][i], 0.01, what + " gradient of " + entry.dump());
    }
  }
}

TEST(LossGoldenTest, ScoresEqualTransformers) {
  const nlohmann::json golden = read_golden("losses.json");
  Lane lane(1);
  for (const auto& [name, model] : golden["models"].items()) {
    const auto weights = tiny_model(name);
    TrainerOptions options;
    options.max_positions = 64;
    const auto trainer = std::move(*Trainer::create(*weights, options));
    const auto scores = trainer->score(lane, golden_batch(model["batch"]), nullptr);
    ASSERT_TRUE(scores.ok());
    for (std::size_t i = 0; i < scores->size(); ++i) {
      for (std::size_t t = 0; t < (*scores)[i].size(); ++t) {
        EXPECT_NEAR((*scores)[i][t], model["logprobs"][i][t].get<double>(), 2e-5) << name << " " << i << " " << t;
      }
    }
  }
}

}  // namespace
}  // namespace jigsaw
