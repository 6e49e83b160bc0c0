#include "workers/pipeline_runtime.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/philox.h"
#include "rollout/kernels/kernels.h"
#include "rollout/models/model_files.h"
#include "rollout/models/training_pass.h"
#include "rollout/models/transformer.h"

namespace jigsaw {
namespace {

namespace fs = std::filesystem;

// What a pipeline's seed is used for; part of the keys, so that no two uses share draws.
enum class KeyUse : std::uint64_t { kTask = 1, kWeights = 2, kSampling = 3 };

std::uint64_t key_for(const PipelineConfig& config, KeyUse use) {
  return philox_key(config.seed, static_cast<std::uint64_t>(use), 0);
}

Result<std::unique_ptr<Tokenizer>> make_tokenizer(const PipelineConfig& config, const Task& task) {
  if (!config.from_scratch()) return load_tokenizer(config.model);
  if (config.scratch.tokenizer == "byte") return make_byte_tokenizer();
  const std::string alphabet = config.scratch.alphabet.empty() ? task.alphabet() : config.scratch.alphabet;
  if (alphabet.empty()) {
    return Error(
        ErrorCode::kInvalidArgument,
        "model_config.tokenizer: character needs to know the characters of this task: set model_config.alphabet, or "
        "tokenizer: byte");
  }
  return make_character_tokenizer(alphabet);
}

// The model's configuration as it will be trained.
Result<ModelConfig> policy_config(const PipelineConfig& config, const Tokenizer& tokenizer) {
  if (!config.from_scratch()) return read_model_config(config.model);
  ModelConfig model = config.scratch.config;
  model.vocab_size = tokenizer.vocab_size();
  for (const TokenId token : tokenizer.eos_tokens()) model.eos_tokens.push_back(token);
  model.max_positions = config.rollout.engine.max_positions;
  return model;
}

Result<std::unique_ptr<PolicyWeights>> first_weights(const PipelineConfig& config, const Tokenizer& tokenizer) {
  if (!config.from_scratch()) return load_model(config.model);
  JIGSAW_ASSIGN_OR_RETURN(const ModelConfig model, policy_config(config, tokenizer));
  auto weights = std::make_unique<PolicyWeights>(model);
  const std::uint64_t seed = config.scratch.init_seed;
  initialize_weights(*weights, seed != 0 ? seed : key_for(config, KeyUse::kWeights));
  return weights;
}

TrainerOptions trainer_options(const PipelineConfig& config) {
  return {.algorithm = config.algorithm,
          .optimizer = config.train.optimizer,
          .max_positions = config.rollout.engine.max_positions,
          .micro_batch_tokens = config.train.micro_batch_tokens,
          .recompute_activations = config.train.recompute_activations};
}

}  // namespace

Result<std::unique_ptr<PipelineRuntime>> PipelineRuntime::create(const PipelineConfig& config,
                                                                 const fs::path& checkpoint,
                                                                 std::unique_ptr<GradientExchange> exchange) {
  std::unique_ptr<PipelineRuntime> runtime(new PipelineRuntime());
  runtime->config_ = config;
  runtime->exchange_ = std::move(exchange);
  JIGSAW_ASSIGN_OR_RETURN(runtime->task_, make_task(config.task, key_for(config, KeyUse::kTask)));
  JIGSAW_ASSIGN_OR_RETURN(runtime->tokenizer_, make_tokenizer(config, *runtime->task_));
  if (checkpoint.empty()) {
    JIGSAW_ASSIGN_OR_RETURN(runtime->weights_, first_weights(config, *runtime->tokenizer_));
  } else {
    JIGSAW_ASSIGN_OR_RETURN(runtime->weights_, load_model(checkpoint));
  }
  if (config.needs_reference()) {
    JIGSAW_ASSIGN_OR_RETURN(runtime->reference_, first_weights(config, *runtime->tokenizer_));
  }
  JIGSAW_ASSIGN_OR_RETURN(runtime->reward_, make_reward(config.reward));
  JIGSAW_ASSIGN_OR_RETURN(runtime->engine_,
                          RolloutEngine::create(*runtime->weights_, runtime->tokenizer_.get(), config.rollout.engine));
  JIGSAW_ASSIGN_OR_RETURN(runtime->trainer_, Trainer::create(*runtime->weights_, trainer_options(config)));
  if (!checkpoint.empty()) {
    JIGSAW_RETURN_IF_ERROR(runtime->trainer_->load_optimizer((checkpoint / "optimizer.safetensors").string()));
  }
  return runtime;
}

Result<PipelineRuntime::SampleRequest> PipelineRuntime::sample_request(std::int64_t step, std::uint32_t sample) const {
  const auto group_size = static_cast<std::uint32_t>(config_.rollout.group_size);
  const std::int64_t prompt_index = (step - 1) * config_.rollout.prompts_per_step + sample / group_size;
  SampleRequest made;
  made.prompt = task_->prompt(prompt_index);
  made.prompt_text = made.prompt.text;
  if (!made.prompt.messages.empty()) {
    JIGSAW_ASSIGN_OR_RETURN(made.prompt_text, tokenizer_->apply_chat_template(made.prompt.messages));
  }
  RolloutRequest& request = made.request;
  request.id = sample;
  request.random_key =
      philox_key(key_for(config_, KeyUse::kSampling), static_cast<std::uint64_t>(prompt_index), sample % group_size);
  request.prefix_group = static_cast<std::uint64_t>(prompt_index) + 1;
  request.prompt = tokenizer_->encode(made.prompt_text);
  request.sampling = config_.rollout.sampling;
  if (request.prompt.empty()) {
    return Error(ErrorCode::kInvalidArgument, "prompt " + std::to_string(prompt_index) + " of task '" + task_->name() +
                                                  "' has no tokens: none of its characters is in the vocabulary");
  }
  return made;
}

std::string PipelineRuntime::completion_text(const RolloutOutput& output) const {
  std::span<const TokenId> tokens = output.tokens;
  const auto& eos = weights_->config().eos_tokens;
  if (!tokens.empty() && std::find(eos.begin(), eos.end(), tokens.back()) != eos.end()) {
    tokens = tokens.first(tokens.size() - 1);
  }
  Result<std::string> text = tokenizer_->decode(tokens);
  CHECK_MSG(text.ok(), "the engine made a token that the tokenizer does not know");
  return *std::move(text);
}

PipelineMemory PipelineRuntime::memory() const {
  PipelineMemory memory;
  memory.weights = weights_->floats().size_bytes();
  memory.reference = reference_ ? reference_->floats().size_bytes() : 0;
  memory.kv = engine_->kv_bytes_total();
  memory.optimizer = trainer_->state_bytes();
  memory.activations = trainer_->activation_bytes();
  return memory;
}

Status PipelineRuntime::save_checkpoint(const fs::path& folder, const std::string& state_json) {
  const fs::path partial = folder.parent_path() / ("writing-" + folder.filename().string());
  std::error_code error;
  fs::remove_all(partial, error);
  fs::create_directories(partial, error);
  if (error)
    return Error(ErrorCode::kResourceExhausted, partial.string() + ": cannot make this folder: " + error.message());
  JIGSAW_RETURN_IF_ERROR(save_hf_model(*weights_, partial));
  JIGSAW_RETURN_IF_ERROR(tokenizer_->save(partial));
  JIGSAW_RETURN_IF_ERROR(trainer_->save_optimizer((partial / "optimizer.safetensors").string()));
  nlohmann::ordered_json state = nlohmann::ordered_json::parse(state_json);
  state["policy_version"] = trainer_->version();
  state["weights_hash"] = weights_->hash();
  JIGSAW_RETURN_IF_ERROR(write_file_atomically(partial / "state.json", state.dump(2) + "\n"));
  return publish_folder(partial, folder);
}

Result<PipelineMemory> predict_memory(const PipelineConfig& config) {
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<Task> task, make_task(config.task, 0));
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, make_tokenizer(config, *task));
  JIGSAW_ASSIGN_OR_RETURN(const ModelConfig model, policy_config(config, *tokenizer));
  const std::size_t floats = ParameterLayout(model).num_floats();
  const EngineOptions& engine = config.rollout.engine;
  PipelineMemory memory;
  memory.weights = floats * sizeof(float);
  memory.reference = config.needs_reference() ? memory.weights : 0;
  const std::size_t block = kernels::kv_block_floats(model.num_kv_heads, model.head_dim) * sizeof(float) *
                            static_cast<std::size_t>(model.num_layers);
  const std::size_t blocks_per_sequence =
      static_cast<std::size_t>((engine.max_positions + kernels::kPanel - 1) / kernels::kPanel);
  memory.kv = engine.kv_bytes_max != 0 ? engine.kv_bytes_max
                                       : block * blocks_per_sequence * static_cast<std::size_t>(engine.max_batch);
  // The slot's gradient, two moments, and the sums that wait in the slot tree.
  memory.optimizer = memory.weights * 5;
  memory.activations = TrainingPass::activation_bytes(
      model, std::max(config.train.micro_batch_tokens, engine.max_positions), config.train.recompute_activations);
  return memory;
}

}  // namespace jigsaw
