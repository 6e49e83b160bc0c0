// Trains a policy from scratch to sort three digits, saves it, loads it again and asks it once.
//
//   trainer_api [FOLDER]    FOLDER: where the trained model goes; must not be there yet (default: sort-policy)
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>

#include "core/lane.h"
#include "core/philox.h"
#include "rollout/engine/rollout_engine.h"
#include "rollout/models/model_files.h"
#include "workers/api/pipeline.h"

using namespace jigsaw;

class SortDigits : public Environment {
 public:
  Prompt prompt(std::int64_t index) const override {
    std::string digits;
    for (const std::uint32_t draw : philox(/*key=*/17, /*counter_high=*/0, static_cast<std::uint64_t>(index))) {
      if (digits.size() < 3) digits += static_cast<char>('1' + draw % 4);
    }
    std::string sorted = digits;
    std::ranges::sort(sorted);
    return {.text = digits + "=", .answer = sorted};
  }

  // The share of right digits, each in its place; what goes on too long loses some of it.
  double reward(std::int64_t index, const Completion& completion) const override {
    const std::string answer = prompt(index).answer;
    const std::string& text = completion.text;
    double right = 0;
    for (std::size_t i = 0; i < std::min(text.size(), answer.size()); ++i) right += text[i] == answer[i] ? 1 : 0;
    return right / static_cast<double>(std::max(text.size(), answer.size()));
  }
};

Status train(const std::filesystem::path& folder, Lane& lane) {
  SortDigits environment;
  PipelineOptions options;
  options.seed = 1;
  options.scratch.config.hidden_size = 64;
  options.scratch.alphabet = "1234=";
  options.algorithm = {.name = "grpo", .beta = 0.05, .scale_rewards = "none"};
  options.rollout = {.prompts_per_step = 16, .group_size = 16, .sampling = {.max_new_tokens = 4}};
  options.rollout.engine = {.max_batch = 256, .max_positions = 16};
  options.train = {.steps = 200, .optimizer = {.lr = 3e-3, .schedule = "cosine", .warmup_steps = 5}};
  JIGSAW_ASSIGN_OR_RETURN(const auto pipeline, Pipeline::create(options, environment));
  while (pipeline->steps_done() < options.train.steps) {
    JIGSAW_ASSIGN_OR_RETURN(const StepStats stats, pipeline->step(lane));
    if (stats.step % 20 != 0) continue;
    std::printf("step %3lld  reward %.3f  grad norm %.3f  weights %s\n", static_cast<long long>(stats.step),
                stats.reward_mean, stats.grad_norm, stats.weights_hash.c_str());
  }
  return pipeline->save(folder);
}

Status ask(const std::filesystem::path& folder, const std::string& prompt, Lane& lane) {
  JIGSAW_ASSIGN_OR_RETURN(const auto weights, load_model(folder));
  JIGSAW_ASSIGN_OR_RETURN(const auto tokenizer, load_tokenizer(folder));
  JIGSAW_ASSIGN_OR_RETURN(const auto engine, RolloutEngine::create(*weights, tokenizer.get(), {.max_positions = 16}));
  JIGSAW_RETURN_IF_ERROR(
      engine->submit({.prompt = tokenizer->encode(prompt), .sampling = {.temperature = 0, .max_new_tokens = 4}}));
  while (!engine->idle()) {
    for (const RolloutOutput& output : engine->step(lane).finished) {
      JIGSAW_ASSIGN_OR_RETURN(const std::string completion, tokenizer->decode(output.tokens));
      std::printf("%s%s\n", prompt.c_str(), completion.c_str());
    }
  }
  return ok_status();
}

int main(int argc, char** argv) {
  const std::filesystem::path folder = argc > 1 ? argv[1] : "sort-policy";
  Lane lane(2);
  Status status = train(folder, lane);
  if (status.ok()) status = ask(folder, "312=", lane);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.error().message().c_str());
  return status.ok() ? 0 : 1;
}
