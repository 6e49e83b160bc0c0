// logprobs, tokenize, generate, loss: what a model computes, line by line.
#include <memory>

#include "core/lane.h"
#include "examples/cli/commands.h"
#include "examples/cli/json_lines.h"
#include "examples/cli/weight_format_option.h"
#include "rollout/engine/generate.h"
#include "rollout/models/logprobs.h"
#include "rollout/models/model_files.h"
#include "rollout/tokenizer/tokenizer.h"
#include "workers/trainer/loss_command.h"

namespace jigsaw::cli {
namespace {

struct ModelOptions {
  std::string model, input;
  WeightFormat weight_format = WeightFormat::kFp32;
  int threads = 0;
};

void add_model_options(CLI::App& command, ModelOptions& options) {
  command.add_option("--model", options.model, "Hugging Face folder or .gguf file")->required();
  command.add_option("--input", options.input, "File of JSON lines; - is stdin")->required();
  command.add_option("--threads", options.threads, "Threads; 0 = all cores")->check(CLI::Range(0, 1024));
}

Status run_logprobs(const ModelOptions& options) {
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<PolicyWeights> weights, load_model(options.model));
  std::vector<std::vector<std::int32_t>> sequences;
  std::size_t longest = 1;
  JIGSAW_RETURN_IF_ERROR(for_each_json_line(options.input, [&](const nlohmann::json& line) -> Status {
    JIGSAW_ASSIGN_OR_RETURN(std::vector<std::int32_t> tokens, token_list(line, "tokens"));
    for (const std::int32_t token : tokens) {
      if (token >= weights->config().vocab_size) {
        return Error(ErrorCode::kInvalidArgument, "token " + std::to_string(token) + " is not in the vocabulary of " +
                                                      std::to_string(weights->config().vocab_size));
      }
    }
    if (tokens.empty()) return Error(ErrorCode::kInvalidArgument, "\"tokens\" is empty");
    longest = std::max(longest, tokens.size());
    sequences.push_back(std::move(tokens));
    return ok_status();
  }));
  Lane lane(thread_count(options.threads));
  weights->set_format(options.weight_format, lane);
  Transformer transformer(*weights, static_cast<int>(longest));
  for (const auto& tokens : sequences) {
    JIGSAW_ASSIGN_OR_RETURN(const std::vector<float> logprobs, sequence_logprobs(transformer, lane, tokens));
    print_json_line({{"logprobs", logprobs}});
  }
  return ok_status();
}

Status run_tokenize(const ModelOptions& options, bool decode) {
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, load_tokenizer(options.model));
  return for_each_json_line(options.input, [&](const nlohmann::json& line) -> Status {
    if (decode) {
      JIGSAW_ASSIGN_OR_RETURN(const std::vector<std::int32_t> tokens, token_list(line, "tokens"));
      JIGSAW_ASSIGN_OR_RETURN(const std::string text, tokenizer->decode(tokens));
      print_json_line({{"text", text}});
    } else {
      JIGSAW_ASSIGN_OR_RETURN(const std::string text, text_field(line, "text"));
      print_json_line({{"tokens", tokenizer->encode(text)}});
    }
    return ok_status();
  });
}

Status run_generate(const ModelOptions& options, const GenerateOptions& generate_options) {
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<PolicyWeights> weights, load_model(options.model));
  // A model without a tokenizer still generates from token lists; then there is no text.
  Result<std::unique_ptr<Tokenizer>> tokenizer = load_tokenizer(options.model);
  std::vector<std::vector<TokenId>> prompts;
  JIGSAW_RETURN_IF_ERROR(for_each_json_line(options.input, [&](const nlohmann::json& line) -> Status {
    if (line.contains("tokens")) {
      JIGSAW_ASSIGN_OR_RETURN(std::vector<TokenId> tokens, token_list(line, "tokens"));
      prompts.push_back(std::move(tokens));
      return ok_status();
    }
    JIGSAW_ASSIGN_OR_RETURN(const std::string text, text_field(line, "prompt"));
    if (!tokenizer.ok()) return tokenizer.error();
    prompts.push_back((*tokenizer)->encode(text));
    return ok_status();
  }));
  if (!generate_options.sampling.stop_strings.empty() && !tokenizer.ok()) return tokenizer.error();
  Lane lane(thread_count(options.threads));
  weights->set_format(options.weight_format, lane);
  const Tokenizer* text_maker = tokenizer.ok() ? tokenizer->get() : nullptr;
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<RolloutOutput> outputs,
                          generate(lane, *weights, text_maker, prompts, generate_options));
  for (const RolloutOutput& output : outputs) {
    std::string text;
    if (text_maker != nullptr) {
      if (Result<std::string> decoded = text_maker->decode(output.tokens); decoded.ok()) text = *decoded;
    }
    print_json_line({{"tokens", output.tokens},
                     {"logprobs", output.logprobs},
                     {"text", text},
                     {"finish_reason", output.finish_reason == FinishReason::kStop ? "stop" : "length"}});
  }
  return ok_status();
}

}  // namespace

void add_logprobs(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ModelOptions>();
  CLI::App* command =
      app.add_subcommand("logprobs", R"(Log-probs of given tokens: {"tokens":[..]} -> {"logprobs":[..]})");
  add_model_options(*command, *options);
  add_weight_format_option(*command, options->weight_format);
  command->callback([options, &exit_code] { exit_code = exit_code_of(run_logprobs(*options)); });
}

void add_tokenize(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ModelOptions>();
  auto decode = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("tokenize", R"(Text to token ids: {"text":".."} -> {"tokens":[..]})");
  add_model_options(*command, *options);
  command->add_flag("--decode", *decode, R"(The other way: {"tokens":[..]} -> {"text":".."})");
  command->callback([options, decode, &exit_code] { exit_code = exit_code_of(run_tokenize(*options, *decode)); });
}

void add_generate(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ModelOptions>();
  auto generate_options = std::make_shared<GenerateOptions>();
  CLI::App* command = app.add_subcommand(
      "generate", R"(Completes {"tokens":[..]} or {"prompt":".."} -> {"tokens","logprobs","text","finish_reason"})");
  add_model_options(*command, *options);
  add_weight_format_option(*command, options->weight_format);
  SamplingParams& sampling = generate_options->sampling;
  command->add_option("--max-new-tokens", sampling.max_new_tokens, "Tokens of a completion at most")
      ->required()
      ->check(CLI::Range(1, 1 << 24));
  command->add_option("--temperature", sampling.temperature, "0 takes the largest logit")
      ->check(CLI::Range(0.0, 100.0));
  command->add_option("--top-p", sampling.top_p, "Nucleus; 1 = off")->check(CLI::Range(0.0, 1.0));
  command->add_option("--top-k", sampling.top_k, "Largest k; 0 = off")->check(CLI::Range(0, 1 << 24));
  command->add_option("--stop", sampling.stop_strings, "Text that ends a completion; may be repeated");
  command->add_option("--seed", generate_options->seed, "Of the draws");
  command->add_option("--max-batch", generate_options->max_batch, "Sequences decoded together")
      ->check(CLI::Range(1, 1 << 16));
  command->callback(
      [options, generate_options, &exit_code] { exit_code = exit_code_of(run_generate(*options, *generate_options)); });
}

void add_loss(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<LossCommandOptions>();
  auto threads = std::make_shared<int>(0);
  CLI::App* command = app.add_subcommand("loss", "Loss, gradient norm and advantages of one batch of completions");
  command->add_option("--model", options->model, "Hugging Face folder or .gguf file")->required();
  command->add_option("--algorithm", options->algorithm, "grpo, dr_grpo, dapo, gspo, cispo, reinforce_pp, rloo")
      ->required();
  command->add_option("--set", options->settings, "key=value of the algorithm; may be repeated");
  command->add_option("--batch", options->batch_file, "File of JSON lines, one completion each")->required();
  command->add_option("--threads", *threads, "Threads; 0 = all cores")->check(CLI::Range(0, 1024));
  command->callback([options, threads, &exit_code] {
    Lane lane(thread_count(*threads));
    const Result<std::string> answer = run_loss_command(lane, *options);
    if (answer.ok()) std::printf("%s\n", answer->c_str());
    exit_code = answer.ok() ? kDone : report_error(answer.error());
  });
}

}  // namespace jigsaw::cli
