// Continuous batching over paged KV: one engine a pipeline and worker. step() is the quantum of the executor: one
// forward pass over decode rows and prefill chunks. Executor thread only; never blocks but for the computation itself.
//
// Same request, same weights: same tokens and log-probs, whatever else is in the batch, in whichever engine it runs,
// also when it was preempted, or moved with partial tokens from another engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/lane.h"
#include "core/result.h"
#include "rollout/models/policy_weights.h"
#include "rollout/models/token_run.h"
#include "rollout/tokenizer/tokenizer.h"

namespace jigsaw {

struct SamplingParams {
  float temperature = 1.0f;  // 0 = largest logit
  int top_k = 0;             // 0 = off
  float top_p = 1.0f;        // 1 = off
  int max_new_tokens = 128;
  std::vector<TokenId> stop_tokens{};       // besides the model's eos tokens; the stop token is kept in the output
  std::vector<std::string> stop_strings{};  // generation ends with the token that completes one (kept in the output)
  bool ignore_eos = false;                  // for benchmarks
  // A completion that comes to `pause_string` (empty: none) pauses until give() brings what follows, `pauses_max` times
  // at most; a further one ends it.
  std::string pause_string{};
  int pauses_max = 0;
};
// kInvalidArgument with the name of the field, e.g. "top_p: 1.5 is outside (0, 1]".
Status validate(const SamplingParams& params);

enum class FinishReason { kNone, kStop, kLength, kCancelled };

struct RolloutRequest {
  std::uint64_t id = 0;                   // unique in the engine
  std::uint64_t random_key = 0;           // key of the counter-based draws of this sequence (core/philox.h)
  std::uint64_t prefix_group = 0;         // requests of one group (same prompt) share the prompt's KV blocks; 0 = alone
  std::vector<TokenId> prompt{};          // >= 1 token
  std::vector<TokenId> partial_tokens{};  // already generated elsewhere: decoding goes on after them
  std::vector<float> partial_logprobs{};  // one a partial token
  std::vector<TokenRun> partial_given{};  // of the partial tokens: what give() brought, one run a pause, ascending
  bool speculation = true;                // false: never drafted for; measurements of plain decoding set it
  SamplingParams sampling;
};

struct RolloutOutput {
  std::uint64_t id = 0;
  std::vector<TokenId> tokens{};  // completion, end token included
  std::vector<float> logprobs{};  // natural log at temperature 1, one a token; 0 for those that were given
  FinishReason finish_reason = FinishReason::kNone;
  std::vector<TokenRun> given{};  // tokens that give() brought, one run a pause, ascending; may be empty runs
};

struct EngineOptions {
  int max_batch = 64;            // sequences decoded together
  int max_step_tokens = 512;     // rows of one forward pass (decode + prefill chunks)
  int max_positions = 2048;      // longest prompt + completion
  std::size_t kv_bytes_max = 0;  // KV pool; 0 = room for max_batch sequences of max_positions
  // Verifies drafted tokens (n-grams of a sequence and its prefix group) where passes of few rows leave room for more
  // and it pays. Changes speed, never a token or a log-prob.
  bool speculation = true;
};
// Bound of max_positions: tables are made for as many.
inline constexpr int kMaxPositionsLimit = 1 << 20;
Status validate(const EngineOptions& options);

struct EngineStep {
  int decode_tokens = 0;  // rows of this pass that continue a sequence
  int prefill_tokens = 0;
  int recomputed_tokens = 0;  // of prefill_tokens: computed before, here (preempted) or elsewhere (partial)
  int preempted = 0;          // sequences that gave way in this step
  int draft_tokens = 0;       // further rows of this pass, which verify drafts
  int accepted_tokens = 0;    // of draft_tokens: those that were drawn, so the step has as many tokens more
  std::vector<RolloutOutput> finished;
  std::vector<std::uint64_t> paused;  // sequences that wait for give() from now on
  struct Event {
    std::uint64_t id;
    TokenId token;
    float logprob;
  };
  std::vector<Event> events;  // one a new token, in order of id, then of position; for streaming
};

// How far a sequence has come.
struct SequenceProgress {
  std::span<const TokenId> tokens{};  // completion
  std::span<const float> logprobs{};  // one a token
  std::span<const TokenRun> given{};  // as in RolloutOutput
};

// The keys and values of a running sequence, block by block (layout: kernels.h, transformer.h).
struct SequenceKv {
  int num_positions = 0;             // of prompt + completion; the last token drawn has none yet
  std::span<float* const> blocks{};  // 16 positions each; others may share them: read only
  std::size_t block_floats = 0;
};

// Keys and values of a sequence that comes from another engine of the same model, to be read block by block.
struct KvImport {
  int num_positions = 0;  // 1 to tokens - 1
  std::size_t block_floats = 0;
  // Writes all floats of block `index`, positions 16 * index on.
  std::function<void(int index, std::span<float> block)> read_block{};
};

class RolloutEngine {
 public:
  // `weights` (until use_weights()) and `tokenizer` (may be null: then no stop strings) outlive the engine.
  static Result<std::unique_ptr<RolloutEngine>> create(const PolicyWeights& weights, const Tokenizer* tokenizer,
                                                       const EngineOptions& options);
  virtual ~RolloutEngine() = default;

  // Queues a request; kInvalidArgument when it can never run (empty, over max_positions, over the KV pool, id in use).
  virtual Status submit(RolloutRequest request) = 0;
  // submit() of a sequence with partial tokens whose keys and values are at hand. True: it goes on from them, at once.
  // False: there was no room in the batch or the blocks, or others wait already, so it waits as submit() has it, and
  // will be computed again. Shares the prompt's blocks if its group's prompt is here.
  virtual Result<bool> submit_with_kv(RolloutRequest request, const KvImport& kv) = 0;
  // What follows in a paused sequence, which goes on with the next step(). Tokens beyond its room (max_new_tokens,
  // max_positions) are left out, and end it. kInvalidArgument: it is not paused, or a token is not in the vocabulary.
  virtual Status give(std::uint64_t id, std::span<const TokenId> tokens) = 0;
  // One forward pass. Empty when idle. Running out of KV blocks preempts the youngest sequences; never an error.
  virtual EngineStep step(Lane& lane) = 0;
  // Takes a sequence out, with what it has generated so far (kCancelled); empty if unknown. For migration and Ctrl-C.
  virtual std::optional<RolloutOutput> cancel(std::uint64_t id) = 0;
  // Empty if unknown; valid until the next step() or cancel().
  virtual std::optional<SequenceProgress> progress(std::uint64_t id) const = 0;
  // For migration by KV copy. Empty if unknown, waiting or without any; valid until the next step() or cancel().
  virtual std::optional<SequenceKv> sequence_kv(std::uint64_t id) const = 0;
  virtual bool idle() const = 0;        // has no sequence
  virtual bool has_work() const = 0;    // step() would do something: not all sequences are paused
  virtual int num_running() const = 0;  // sequences in the batch
  virtual int num_waiting() const = 0;
  virtual int num_paused() const = 0;  // they keep their blocks until others need them
  // Tells that the weights have changed: cached prefixes are dropped. Only while idle().
  virtual void on_weights_changed() = 0;
  // Reads other weights of the same model from now on, which outlive the engine. Only while idle().
  virtual void use_weights(const PolicyWeights& weights) = 0;
  // Drops cached prefixes and gives the memory of the KV pool back to the machine until the next step(). Only while
  // idle().
  virtual void release_memory() = 0;
  virtual std::size_t kv_block_bytes() const = 0;  // of 16 positions
  virtual std::size_t kv_bytes_total() const = 0;
  virtual std::size_t kv_bytes_used() const = 0;  // cached prefixes included; they go when room is wanted
  // Positions that would fit the blocks that are free or can be made so by dropping cached prefixes.
  virtual std::int64_t kv_positions_free() const = 0;
  // CHECKs the block accounting; for tests.
  virtual void check_integrity() const = 0;
};

}  // namespace jigsaw
