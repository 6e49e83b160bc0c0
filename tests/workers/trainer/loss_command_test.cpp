#include "workers/trainer/loss_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "rollout/models/model_files.h"
#include "tests/workers/trainer/temporary_folder.h"
#include "tests/workers/trainer/tiny_models.h"

namespace jigsaw {
namespace {

using testing::HasSubstr;

// A model's folder and a batch file, as a user would have them.
class LossCommandTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.model = folder_ / "model";
    std::filesystem::create_directory(options_.model);
    const Status saved = save_hf_model(*tiny_model("llama"), options_.model);
    ASSERT_TRUE(saved.ok()) << saved.error().message();
    options_.algorithm = "grpo";
    options_.batch_file = folder_ / "batch.jsonl";
    std::ofstream file(options_.batch_file);
    for (const auto& line : golden_["models"]["llama"]["batch"]) file << line.dump() << "\n";
  }

  std::string error() {
    const Result<std::string> answer = run_loss_command(lane_, options_);
    return answer.ok() ? "" : answer.error().message();
  }

  TemporaryFolder folder_;
  nlohmann::json golden_ = read_golden("losses.json");
  LossCommandOptions options_;
  Lane lane_{1};
};

TEST_F(LossCommandTest, AnswersWithOneLineOfJson) {
  const Result<std::string> answer = run_loss_command(lane_, options_);
  ASSERT_TRUE(answer.ok()) << answer.error().message();
  EXPECT_EQ(answer->find('\n'), std::string::npos);
  const auto json = nlohmann::json::parse(*answer);
  const auto& expected = golden_["cases"][0];
  ASSERT_EQ(expected["algorithm"], "grpo");
  EXPECT_EQ(json.size(), 3u);
  EXPECT_NEAR(json["loss"].get<double>(), expected["loss"].get<double>(), 1e-6);
  EXPECT_NEAR(json["grad_norm"].get<double>(), expected["grad_norm"].get<double>(), 1e-4);
  EXPECT_EQ(json["advantages"].size(), 8u);
}

TEST_F(LossCommandTest, ErrorsNameWhatIsWrong) {
  options_.algorithm = "grppo";
  EXPECT_THAT(error(), HasSubstr("did you mean 'grpo'"));
  options_.algorithm = "grpo";
  options_.settings = {"epsilom=0.3"};
  EXPECT_THAT(error(), HasSubstr("did you mean 'epsilon'"));
  options_.settings = {"epsilon"};
  EXPECT_THAT(error(), HasSubstr("--set epsilon: expected key=value"));
  options_.settings = {};
  options_.batch_file = folder_ / "none.jsonl";
  EXPECT_THAT(error(), HasSubstr("none.jsonl: cannot be opened"));
}

TEST_F(LossCommandTest, ATokenOutsideTheVocabularyIsAnError) {
  std::ofstream(options_.batch_file) << R"({"group":1,"reward":1,"prompt_tokens":[1],"tokens":[37]})"
                                     << "\n";
  EXPECT_THAT(error(), HasSubstr("token 37 is not in the model's vocabulary of 37"));
}

TEST_F(LossCommandTest, AMissingReferenceIsAnError) {
  std::ofstream(options_.batch_file) << R"({"group":1,"reward":1,"prompt_tokens":[1],"tokens":[2]})"
                                     << "\n";
  options_.settings = {"beta=0.1"};
  EXPECT_THAT(error(), HasSubstr("ref_logprobs"));
  options_.algorithm = "rloo";
  EXPECT_THAT(error(), HasSubstr("ref_logprobs"));
}

TEST(ComputeLossTest, TiedMatricesCountOnceAndPaddingNotAtAll) {
  const auto weights = tiny_model("qwen3_tied");
  const auto golden = read_golden("losses.json");
  Lane lane(1);
  std::vector<float> gradient;
  const auto report =
      compute_loss(lane, *weights, AlgorithmConfig{}, golden_batch(golden["models"]["qwen3_tied"]["batch"]), &gradient);
  ASSERT_TRUE(report.ok());
  double squares = 0;
  for (const Parameter& parameter : weights->layout().parameters()) {
    for (const ParameterPart& part : parameter.parts) {
      std::vector<float> rows(static_cast<std::size_t>(part.num_rows * std::max(parameter.cols, 1)));
      unpack_rows(parameter, part, gradient.data() + parameter.offset, rows);
      for (const float value : rows) squares += static_cast<double>(value) * value;
    }
  }
  EXPECT_NEAR(report->grad_norm, std::sqrt(squares), 1e-9 * report->grad_norm);
}

TEST(ComputeLossTest, AnExplodingRatioIsAnErrorNotANumber) {
  const auto weights = tiny_model("llama");
  TrainingSample sample;
  sample.tokens = {1, 2};
  sample.prompt_length = 1;
  sample.old_logprobs = {-2000};
  TrainingSample other = sample;
  other.reward = 1;
  Lane lane(1);
  const auto report = compute_loss(lane, *weights, AlgorithmConfig{}, {sample, other});
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(report.error().message(), HasSubstr("the loss is"));
}

}  // namespace
}  // namespace jigsaw
