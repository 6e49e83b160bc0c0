#include "workers/pipeline_runtime.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/philox.h"
#include "graph/chunk_pairs.h"
#include "rollout/kernels/kernels.h"
#include "rollout/models/hf_weights.h"
#include "rollout/models/model_files.h"
#include "rollout/models/safetensors_writer.h"
#include "rollout/models/training_pass.h"
#include "rollout/models/transformer.h"

namespace jigsaw {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kStateFile = "state.json";
constexpr std::size_t kStateBytesMax = 1 << 20;
constexpr std::int64_t kCopyGrain = 1 << 16;  // floats

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

Result<ModelConfig> config_of_files(const PipelineConfig& config) {
  JIGSAW_ASSIGN_OR_RETURN(ModelConfig model, read_model_config(config.model));
  if (config.rollout.engine.max_positions > model.max_positions) {
    return Error(ErrorCode::kInvalidArgument,
                 "rollout.max_positions: " + std::to_string(config.rollout.engine.max_positions) +
                     " are more than the " + std::to_string(model.max_positions) + " positions that " +
                     config.model.string() + " was made for; set it to that or less");
  }
  return model;
}

// The model's configuration as it will be trained.
Result<ModelConfig> policy_config(const PipelineConfig& config, const Tokenizer& tokenizer) {
  if (!config.from_scratch()) return config_of_files(config);
  ModelConfig model = config.scratch.config;
  model.vocab_size = tokenizer.vocab_size();
  for (const TokenId token : tokenizer.eos_tokens()) model.eos_tokens.push_back(token);
  model.max_positions = config.rollout.engine.max_positions;
  if (const Status status = validate(model); !status.ok()) return status.error().with_context("model_config");
  return model;
}

// The same before anything is loaded. The tokenizer of a model in files is not read: it takes 0.2 s and decides
// nothing.
Result<ModelConfig> predicted_config(const PipelineConfig& config) {
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<Task> task, make_task(config.task, 0));
  if (!config.from_scratch()) return config_of_files(config);
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, make_tokenizer(config, *task));
  return policy_config(config, *tokenizer);
}

Result<std::unique_ptr<PolicyWeights>> first_weights(const PipelineConfig& config, const Tokenizer& tokenizer) {
  JIGSAW_ASSIGN_OR_RETURN(const ModelConfig model, policy_config(config, tokenizer));
  if (!config.from_scratch()) return load_model(config.model);
  auto weights = std::make_unique<PolicyWeights>(model);
  const std::uint64_t seed = config.scratch.init_seed;
  initialize_weights(*weights, seed != 0 ? seed : key_for(config, KeyUse::kWeights));
  return weights;
}

// One safetensors file of the weights of a known model.
Result<std::unique_ptr<PolicyWeights>> load_weights_file(const fs::path& path, const ModelConfig& config) {
  std::vector<SafetensorsFile> files;
  JIGSAW_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::open(path));
  files.push_back(std::move(file));
  return assemble_weights(config, hf_stored_weights(path, files));
}

std::string rollout_file(std::int64_t version) { return "rollout-" + std::to_string(version) + ".safetensors"; }

// What to set for it.
std::string mode_of(int staleness) {
  if (staleness == 0) return "mode: sync";
  if (staleness == 1) return "mode: one_step_off";
  return "mode: async, max_staleness: " + std::to_string(staleness);
}

// That the checkpoint has the copies which a pipeline of this staleness goes on with.
Status check_rollout_copies(const fs::path& path, int staleness, const std::vector<std::int64_t>& versions) {
  JIGSAW_ASSIGN_OR_RETURN(const std::string text, read_text_file(path, kStateBytesMax));
  const nlohmann::json state = nlohmann::json::parse(text, nullptr, false);
  if (!state.is_object()) return Error(ErrorCode::kCorrupt, path.string() + ": is no JSON object");
  const int saved =
      state.contains("staleness") && state["staleness"].is_number_integer() ? state["staleness"].get<int>() : 0;
  if (saved != staleness) {
    return Error(ErrorCode::kInvalidArgument, path.string() + ": this checkpoint is of a pipeline in `" +
                                                  mode_of(saved) + "` and has not the older weights that `" +
                                                  mode_of(staleness) +
                                                  "` goes on with; go on in its own mode, or start in a new --out");
  }
  if (!state.contains("rollout_versions") || state["rollout_versions"] != nlohmann::json(versions)) {
    return Error(ErrorCode::kInvalidArgument,
                 path.string() + ": rollout_versions are not those that the next rollouts need: was " +
                     "train.updates_per_step another one? Set it back, or start in a new --out");
  }
  return ok_status();
}

void copy_floats(Lane& lane, std::span<const float> from, std::span<float> to) {
  CHECK(from.size() == to.size());
  lane.parallel_for(static_cast<std::int64_t>(from.size()), kCopyGrain, [&](std::int64_t begin, std::int64_t end) {
    std::copy(from.begin() + begin, from.begin() + end, to.begin() + begin);
  });
}

// Chunk pairs of the longest sample that there can be.
int pairs_max(const PipelineConfig& config) {
  return num_chunk_pairs(config.rollout.engine.max_positions, config.train.split_tokens);
}

// Gradient-sized buffers that one worker holds while it sums slots, and pairs of cut samples, by the tree: one a level
// that is half full, those just computed, and the whole gradient at the end. Scattered slots take no more: see
// held_sums_max() in scheduler/slot_balance.h.
std::size_t num_gradient_buffers(const PipelineConfig& config) {
  const int num_pairs = pairs_max(config);
  const int num_cut = std::min(kCutSamplesMax, config.samples_per_step());
  const auto num_leaves = static_cast<unsigned>(config.train.grad_slots + num_cut * num_pairs);
  return std::max<std::size_t>(2, static_cast<std::size_t>(std::bit_width(num_leaves - 1)) + 1) +
         static_cast<std::size_t>(std::max(num_pairs - 1, 0));
}

// Of one answer, what stands around it has to leave room for it.
Status check_answer_frame(const ToolConfig& tool, const Tokenizer& tokenizer) {
  const std::size_t frame = tokenizer.encode(tool.answer_begin).size() + tokenizer.encode(tool.answer_end).size();
  if (frame < static_cast<std::size_t>(tool.answer_tokens_max)) return ok_status();
  return Error(ErrorCode::kInvalidArgument, "tool.answer_tokens_max: " + std::to_string(tool.answer_tokens_max) +
                                                " leaves no room for an answer: answer_begin and answer_end are " +
                                                std::to_string(frame) + " tokens");
}

TrainerOptions trainer_options(const PipelineConfig& config) {
  return {.algorithm = config.algorithm,
          .optimizer = config.train.optimizer,
          .max_positions = config.rollout.engine.max_positions,
          .micro_batch_tokens = config.train.micro_batch_tokens,
          .num_pairs_max = pairs_max(config),
          .recompute_activations = config.train.recompute_activations};
}

}  // namespace

Result<std::unique_ptr<PipelineRuntime>> PipelineRuntime::create(const PipelineConfig& config,
                                                                 const fs::path& checkpoint,
                                                                 std::unique_ptr<GradientExchange> exchange) {
  Surroundings surroundings;
  JIGSAW_ASSIGN_OR_RETURN(surroundings.task, make_task(config.task, key_for(config, KeyUse::kTask)));
  JIGSAW_ASSIGN_OR_RETURN(surroundings.reward, make_reward(config.reward));
  if (config.tool.any()) {
    JIGSAW_ASSIGN_OR_RETURN(surroundings.tool, make_tool(config.tool));
  }
  return create(config, std::move(surroundings), checkpoint, std::move(exchange));
}

Result<std::unique_ptr<PipelineRuntime>> PipelineRuntime::create(const PipelineConfig& config,
                                                                 Surroundings surroundings, const fs::path& checkpoint,
                                                                 std::unique_ptr<GradientExchange> exchange) {
  CHECK(config.tool.any() == (surroundings.tool != nullptr));
  std::unique_ptr<PipelineRuntime> runtime(new PipelineRuntime());
  runtime->config_ = config;
  runtime->task_ = std::move(surroundings.task);
  runtime->reward_ = std::move(surroundings.reward);
  runtime->tool_ = std::move(surroundings.tool);
  runtime->exchange_ = std::move(exchange);
  JIGSAW_ASSIGN_OR_RETURN(runtime->tokenizer_, make_tokenizer(config, *runtime->task_));
  if (config.tool.any()) JIGSAW_RETURN_IF_ERROR(check_answer_frame(config.tool, *runtime->tokenizer_));
  if (checkpoint.empty()) {
    JIGSAW_ASSIGN_OR_RETURN(runtime->weights_, first_weights(config, *runtime->tokenizer_));
  } else {
    JIGSAW_ASSIGN_OR_RETURN(runtime->weights_, load_model(checkpoint));
  }
  if (config.needs_reference()) {
    JIGSAW_ASSIGN_OR_RETURN(runtime->reference_, first_weights(config, *runtime->tokenizer_));
  }
  JIGSAW_ASSIGN_OR_RETURN(runtime->trainer_, Trainer::create(*runtime->weights_, trainer_options(config)));
  runtime->make_rollout_copies();
  if (!checkpoint.empty()) JIGSAW_RETURN_IF_ERROR(runtime->restore(checkpoint));
  std::vector<PolicyWeights*> all = {runtime->weights_.get()};
  if (runtime->reference_) all.push_back(runtime->reference_.get());
  for (const RolloutCopy& copy : runtime->rollout_copies_) all.push_back(copy.weights.get());
  Lane this_thread(1);
  for (PolicyWeights* weights : all) weights->set_format(config.weight_format, this_thread);
  const PolicyWeights& read =
      runtime->has_rollout_copy() ? *runtime->rollout_copy(runtime->rollout_version_).weights : *runtime->weights_;
  JIGSAW_ASSIGN_OR_RETURN(runtime->engine_,
                          RolloutEngine::create(read, runtime->tokenizer_.get(), config.rollout.engine));
  return runtime;
}

void PipelineRuntime::make_rollout_copies() {
  for (int i = 0; i < config_.staleness; ++i) {
    rollout_copies_.push_back({.weights = std::make_unique<PolicyWeights>(weights_->config())});
  }
  if (!has_rollout_copy()) return;
  RolloutCopy& first = rollout_copy(0);
  std::ranges::copy(weights_->floats(), first.weights->mutable_floats().begin());
  first.version = 0;
}

// All but the trained weights.
Status PipelineRuntime::restore(const fs::path& checkpoint) {
  JIGSAW_RETURN_IF_ERROR(trainer_->load_optimizer((checkpoint / kOptimizerFile).string()));
  return has_rollout_copy() ? restore_rollout_copies(checkpoint) : ok_status();
}

Status PipelineRuntime::restore_rollout_copies(const fs::path& checkpoint) {
  const std::vector<std::int64_t> versions = versions_to_keep();
  JIGSAW_RETURN_IF_ERROR(check_rollout_copies(checkpoint / kStateFile, config_.staleness, versions));
  rollout_copy(0).version.reset();
  for (const std::int64_t version : versions) {
    RolloutCopy& copy = rollout_copy(version);
    JIGSAW_ASSIGN_OR_RETURN(copy.weights, load_weights_file(checkpoint / rollout_file(version), weights_->config()));
    copy.version = version;
  }
  rollout_version_ = versions.front();
  return ok_status();
}

PipelineRuntime::RolloutCopy& PipelineRuntime::rollout_copy(std::int64_t version) {
  const auto step = static_cast<std::size_t>(version / config_.train.updates_per_step);
  return rollout_copies_[step % rollout_copies_.size()];
}

std::vector<std::int64_t> PipelineRuntime::versions_to_keep() const {
  std::vector<std::int64_t> versions;
  for (std::int64_t steps = config_.staleness; steps > 0; --steps) {
    const std::int64_t version =
        std::max<std::int64_t>(trainer_->version() - steps * config_.train.updates_per_step, 0);
    if (versions.empty() || versions.back() != version) versions.push_back(version);
  }
  return versions;
}

void PipelineRuntime::sync_rollout_weights(Lane& lane, std::int64_t version) {
  RolloutCopy& copy = rollout_copy(version);
  if (copy.version == version) return;
  CHECK_MSG(version == trainer_->version(), "the trained weights are not of the version to be copied");
  copy_floats(lane, weights_->floats(), copy.weights->mutable_floats());
  copy.weights->round(lane);
  copy.version = version;
}

void PipelineRuntime::use_rollout_weights(std::int64_t version) {
  if (!has_rollout_copy()) {
    CHECK(version == trainer_->version());
    return;
  }
  const RolloutCopy& copy = rollout_copy(version);
  CHECK_MSG(copy.version == version, "there is no copy of the weights that the rollout is to use");
  if (rollout_version_ == version) return;
  engine_->use_weights(*copy.weights);
  rollout_version_ = version;
}

void PipelineRuntime::on_weights_trained() {
  if (!has_rollout_copy()) engine_->on_weights_changed();
}

void PipelineRuntime::on_rollout_ended() {
  if (releases_memory_) engine_->release_memory();
}

void PipelineRuntime::on_training_ended() {
  if (releases_memory_) trainer_->release_memory();
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
  request.sampling.pause_string = config_.tool.call_end;
  request.sampling.pauses_max = config_.tool.calls_max;
  if (const std::vector<int>& lengths = config_.rollout.forced_lengths; !lengths.empty()) {
    request.sampling.max_new_tokens = lengths[sample % lengths.size()];
    const int num_tokens = static_cast<int>(request.prompt.size()) + request.sampling.max_new_tokens;
    if (num_tokens > config_.rollout.engine.max_positions) {
      return Error(ErrorCode::kInvalidArgument,
                   "rollout.forced_lengths: prompt " + std::to_string(prompt_index) + " of task '" + task_->name() +
                       "' and " + std::to_string(request.sampling.max_new_tokens) + " tokens need " +
                       std::to_string(num_tokens) + " positions; raise rollout.max_positions to that");
    }
  }
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
  return text_of(tokens);
}

std::string PipelineRuntime::text_of(std::span<const TokenId> tokens) const {
  Result<std::string> text = tokenizer_->decode(tokens);
  CHECK_MSG(text.ok(), "the engine made a token that the tokenizer does not know");
  return *std::move(text);
}

std::vector<TokenId> PipelineRuntime::answer_tokens(std::string_view answer) const {
  std::vector<TokenId> tokens = tokenizer_->encode(config_.tool.answer_begin);
  const std::vector<TokenId> end = tokenizer_->encode(config_.tool.answer_end);
  std::vector<TokenId> middle = tokenizer_->encode_plain(answer);
  const std::size_t room = static_cast<std::size_t>(config_.tool.answer_tokens_max) - tokens.size() - end.size();
  middle.resize(std::min(middle.size(), room));
  tokens.insert(tokens.end(), middle.begin(), middle.end());
  tokens.insert(tokens.end(), end.begin(), end.end());
  return tokens;
}

PipelineMemory PipelineRuntime::memory() const {
  PipelineMemory memory;
  memory.weights = weights_->num_bytes();
  memory.reference = reference_ ? reference_->num_bytes() : 0;
  memory.kv = engine_->kv_bytes_total();
  memory.rollout_weights = memory.weights * rollout_copies_.size();
  memory.optimizer = trainer_->state_bytes();
  memory.gradients = weights_->floats().size_bytes() * num_gradient_buffers(config_);
  memory.activations = trainer_->activation_bytes();
  return memory;
}

Status PipelineRuntime::save_checkpoint(const fs::path& folder, const std::string& state_json) {
  for (const std::int64_t version : versions_to_keep()) {
    if (rollout_copy(version).version == version) continue;
    return Error(ErrorCode::kInternal, folder.string() + ": not written: rollouts have no version " +
                                           std::to_string(version) + " of the weights, training has " +
                                           std::to_string(trainer_->version()) + "; a resume could not go on the same");
  }
  const fs::path partial = folder.parent_path() / ("writing-" + folder.filename().string());
  std::error_code error;
  fs::remove_all(partial, error);
  Status status = write_checkpoint_files(partial, state_json);
  if (status.ok()) status = publish_folder(partial, folder);
  if (!status.ok()) fs::remove_all(partial, error);  // half of it would only keep a full disk full
  return status;
}

Status PipelineRuntime::write_checkpoint_files(const fs::path& partial, const std::string& state_json) {
  std::error_code error;
  fs::create_directories(partial, error);
  if (error)
    return Error(ErrorCode::kResourceExhausted, partial.string() + ": cannot make this folder: " + error.message());
  JIGSAW_RETURN_IF_ERROR(save_hf_model(*weights_, partial));
  JIGSAW_RETURN_IF_ERROR(tokenizer_->save(partial));
  JIGSAW_RETURN_IF_ERROR(trainer_->save_optimizer((partial / kOptimizerFile).string()));
  const std::vector<std::int64_t> versions = versions_to_keep();
  for (const std::int64_t version : versions) {
    JIGSAW_RETURN_IF_ERROR(write_safetensors(*rollout_copy(version).weights, partial / rollout_file(version)));
  }
  nlohmann::ordered_json state = nlohmann::ordered_json::parse(state_json);
  state["policy_version"] = trainer_->version();
  if (has_rollout_copy()) {
    state["staleness"] = config_.staleness;
    state["rollout_versions"] = versions;
  }
  state["weights_hash"] = weights_->hash();
  return write_file_atomically(partial / kStateFile, state.dump(2) + "\n");
}

std::size_t least_memory(std::span<const PipelineConfig> configs, std::span<const PipelineMemory> memories) {
  CHECK(configs.size() == memories.size());
  std::size_t resident = 0, largest = 0;
  for (std::size_t i = 0; i < memories.size(); ++i) {
    const MemoryNeeds needs = memories[i].needs();
    resident += needs.resident;
    largest = std::max(largest,
                       configs[i].is_sync() ? std::max(needs.rollout, needs.training) : needs.rollout + needs.training);
  }
  return resident + largest;
}

Result<PipelineMemory> predict_memory(const PipelineConfig& config) {
  JIGSAW_ASSIGN_OR_RETURN(const ModelConfig model, predicted_config(config));
  const ParameterLayout layout(model);
  const std::size_t flat_bytes = layout.num_floats() * sizeof(float);
  const EngineOptions& engine = config.rollout.engine;
  PipelineMemory memory;
  memory.weights = PolicyWeights::num_bytes(layout, config.weight_format);
  memory.reference = config.needs_reference() ? memory.weights : 0;
  const std::size_t block = kernels::kv_block_floats(model.num_kv_heads, model.head_dim) * sizeof(float) *
                            static_cast<std::size_t>(model.num_layers);
  const std::size_t blocks_per_sequence =
      static_cast<std::size_t>((engine.max_positions + kernels::kPanel - 1) / kernels::kPanel);
  memory.kv = engine.kv_bytes_max != 0 ? engine.kv_bytes_max
                                       : block * blocks_per_sequence * static_cast<std::size_t>(engine.max_batch);
  memory.rollout_weights = memory.weights * static_cast<std::size_t>(config.staleness);
  memory.optimizer = flat_bytes * 3;  // the slot's gradient and two moments
  memory.gradients = flat_bytes * num_gradient_buffers(config);
  memory.activations = activation_bytes(model, trainer_options(config));
  return memory;
}

}  // namespace jigsaw
