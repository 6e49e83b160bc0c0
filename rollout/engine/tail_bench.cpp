#include "rollout/engine/tail_bench.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <utility>

#include "core/check.h"
#include "core/median.h"
#include "core/philox.h"
#include "rollout/engine/foreign_load.h"
#include "rollout/engine/rollout_engine.h"

namespace jigsaw {
namespace {

using Prompts = std::array<std::string, 4>;

const std::map<std::string, Prompts>& prompts_by_text() {
  static const std::map<std::string, Prompts> prompts{
      {"code",
       {"class Point:\n    def __init__(self, x, y, z):\n        self.x = x\n        self.y = y\n        self.z = z\n\n"
        "    def get_x(self):\n        return self.x\n\n    def set_x(self, x):\n        self.x = x\n\n"
        "    def get_y(self):\n        return self.y\n\n    def set_y(self,",
        "def test_add():\n    assert add(1, 2) == 3\n    assert add(2, 2) == 4\n    assert add(3, 2) == 5\n\n"
        "def test_sub():\n    assert sub(1, 2) == -1\n    assert sub(2, 2) == 0\n    assert sub(3, 2) == 1\n\n"
        "def test_mul():\n",
        "CREATE TABLE users (\n    id INTEGER PRIMARY KEY,\n    name TEXT NOT NULL,\n    email TEXT NOT NULL\n);\n\n"
        "CREATE TABLE orders (\n    id INTEGER PRIMARY KEY,\n    user_id INTEGER NOT NULL,\n    total INTEGER NOT "
        "NULL\n"
        ");\n\nCREATE TABLE products (\n",
        "switch (op) {\n  case OP_ADD:\n    result = a + b;\n    break;\n  case OP_SUB:\n    result = a - b;\n    "
        "break;\n"
        "  case OP_MUL:\n    result = a * b;\n    break;\n  case"}},
      {"list",
       {"The capitals of countries:\n1. The capital of France is Paris.\n2. The capital of Italy is Rome.\n"
        "3. The capital of Spain is Madrid.\n4. The capital of",
        "Multiplication table of 7:\n7 x 1 = 7\n7 x 2 = 14\n7 x 3 = 21\n7 x 4 = 28\n7 x",
        "| Name | Age | City |\n| --- | --- | --- |\n| Anna | 31 | Berlin |\n| Ben | 27 | Paris |\n| Clara | 45 | Rome "
        "|\n|",
        "{\"id\": 1, \"name\": \"Anna\", \"active\": true}\n{\"id\": 2, \"name\": \"Ben\", \"active\": false}\n"
        "{\"id\": 3, \"name\": \"Clara\", \"active\": true}\n{\"id\": 4,"}},
      {"free",
       {"The old lighthouse keeper had not spoken to anyone for eleven days when",
        "I have always thought that the best way to", "In the spring of 1847 a young physician arrived in the town and",
        "What surprised me most about the ocean was"}}};
  return prompts;
}

struct Run {
  double seconds = 0;
  std::int64_t sequence_passes = 0;  // passes times sequences in them
  std::int64_t drafted = 0, accepted = 0;
  std::vector<std::vector<TokenId>> tokens;  // of the timed completions
};

class Tail {
 public:
  Tail(const PolicyWeights& weights, const Tokenizer& tokenizer, const TailBenchOptions& options)
      : weights_(weights), options_(options), heads_(static_cast<std::size_t>(num_requests())) {
    for (const std::string& prompt : prompts_by_text().at(options.text)) prompts_.push_back(tokenizer.encode(prompt));
  }

  // What all completions have when the tail begins.
  Status decode_heads(Lane& lane) {
    JIGSAW_ASSIGN_OR_RETURN(const auto engine, make_engine(false));
    for (int id = 0; id < num_requests(); ++id) {
      JIGSAW_RETURN_IF_ERROR(engine->submit(request(id, options_.head_tokens)));
    }
    while (!engine->idle()) {
      for (RolloutOutput& output : engine->step(lane).finished) heads_[output.id] = std::move(output);
    }
    return ok_status();
  }

  Result<Run> run(Lane& lane, bool speculation) const {
    JIGSAW_ASSIGN_OR_RETURN(const auto engine, make_engine(speculation));
    for (int id = 0; id < num_requests(); ++id) {
      const bool is_sibling = id >= options_.batch;
      // One token more is drawn by the pass that computes the heads.
      RolloutRequest resumed = request(id, options_.head_tokens + (is_sibling ? 0 : 1 + options_.new_tokens));
      resumed.partial_tokens = heads_[resumed.id].tokens;
      resumed.partial_logprobs = heads_[resumed.id].logprobs;
      JIGSAW_RETURN_IF_ERROR(engine->submit(std::move(resumed)));
    }
    for (int num_drawn = 0; num_drawn < options_.batch;)
      num_drawn += static_cast<int>(engine->step(lane).events.size());
    Run run{.tokens = std::vector<std::vector<TokenId>>(static_cast<std::size_t>(options_.batch))};
    const auto start = std::chrono::steady_clock::now();
    while (!engine->idle()) {
      run.sequence_passes += engine->num_running();
      EngineStep step = engine->step(lane);
      run.drafted += step.draft_tokens;
      run.accepted += step.accepted_tokens;
      for (RolloutOutput& output : step.finished) run.tokens[output.id] = std::move(output.tokens);
    }
    run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return run;
  }

 private:
  int num_requests() const { return options_.batch * (1 + options_.siblings); }

  Result<std::unique_ptr<RolloutEngine>> make_engine(bool speculation) const {
    const std::size_t longest = std::ranges::max(prompts_, {}, &std::vector<TokenId>::size).size();
    const int positions = static_cast<int>(longest) + options_.head_tokens + options_.new_tokens + 1;
    return RolloutEngine::create(weights_, nullptr,
                                 {.max_batch = num_requests(),
                                  .max_step_tokens = num_requests() * positions,
                                  .max_positions = positions,
                                  .speculation = speculation});
  }

  RolloutRequest request(int id, int new_tokens) const {
    const std::size_t prompt = static_cast<std::size_t>(id % options_.batch) % prompts_.size();
    RolloutRequest request;
    request.id = static_cast<std::uint64_t>(id);
    request.random_key = philox_key(1, prompt, request.id);
    request.prefix_group = 1 + prompt;
    request.prompt = prompts_[prompt];
    request.sampling = {.temperature = options_.temperature, .max_new_tokens = new_tokens, .ignore_eos = true};
    return request;
  }

  const PolicyWeights& weights_;
  TailBenchOptions options_;
  std::vector<std::vector<TokenId>> prompts_;
  std::vector<RolloutOutput> heads_;  // by id
};

Status check(const TailBenchOptions& options) {
  if (!prompts_by_text().contains(options.text)) {
    return Error(ErrorCode::kInvalidArgument, "there is no text '" + options.text + "'; there are code, free and list");
  }
  if (options.batch < 1 || options.batch > 1024 || options.siblings < 0 || options.siblings > 1024 ||
      options.head_tokens < 1 || options.new_tokens < 1 || options.repeats < 1 ||
      options.head_tokens >= kMaxPositionsLimit / 4 || options.new_tokens >= kMaxPositionsLimit / 4) {
    return Error(ErrorCode::kInvalidArgument,
                 "batch, tokens and repeats must be at least 1, and batch and siblings at most 1024");
  }
  return ok_status();
}

}  // namespace

std::vector<std::string> tail_bench_texts() {
  std::vector<std::string> texts;
  for (const auto& [text, prompts] : prompts_by_text()) texts.push_back(text);
  return texts;
}

Result<TailBenchResult> run_tail_bench(Lane& lane, const PolicyWeights& weights, const Tokenizer& tokenizer,
                                       const TailBenchOptions& options) {
  JIGSAW_RETURN_IF_ERROR(check(options));
  Tail tail(weights, tokenizer, options);
  JIGSAW_RETURN_IF_ERROR(tail.decode_heads(lane));
  std::vector<double> plain_s, speculative_s, ratios;
  TailBenchResult result;
  const ForeignLoad foreign_load;
  for (int repeat = 0; repeat < options.repeats; ++repeat) {
    JIGSAW_ASSIGN_OR_RETURN(const Run plain, tail.run(lane, false));
    JIGSAW_ASSIGN_OR_RETURN(const Run speculative, tail.run(lane, true));
    CHECK_MSG(plain.tokens == speculative.tokens, "speculation has changed a token");
    plain_s.push_back(plain.seconds);
    speculative_s.push_back(speculative.seconds);
    ratios.push_back(plain.seconds / std::max(speculative.seconds, 1e-9));
    const double passes = static_cast<double>(std::max<std::int64_t>(speculative.sequence_passes, 1));
    result.tokens_per_pass = static_cast<double>(options.batch) * options.new_tokens / passes;
    result.drafted_per_pass = static_cast<double>(speculative.drafted) / passes;
    result.accepted_share =
        static_cast<double>(speculative.accepted) / static_cast<double>(std::max<std::int64_t>(speculative.drafted, 1));
  }
  result.foreign_cores = foreign_load.cores();
  result.threads = lane.num_threads();
  result.plain_s = median(plain_s);
  result.speculative_s = median(speculative_s);
  result.speedup = median(ratios);
  const auto [smallest, largest] = std::ranges::minmax(ratios);
  result.speedup_range = {smallest, largest};
  return result;
}

}  // namespace jigsaw
