#include "rollout/engine/rollout_engine.h"

#include <algorithm>
#include <limits>
#include <string>
#include <unordered_map>
#include <utility>

#include "rollout/engine/batcher.h"
#include "rollout/engine/forward_pass.h"
#include "rollout/engine/kv_block_pool.h"
#include "rollout/engine/prefix_cache.h"
#include "rollout/engine/request_check.h"
#include "rollout/engine/sampler.h"
#include "rollout/engine/sequence.h"
#include "rollout/engine/speculator.h"
#include "rollout/engine/verification.h"
#include "rollout/kernels/kernels.h"

namespace jigsaw {
namespace {

Error invalid(const RolloutRequest& request, const std::string& message) {
  return Error(ErrorCode::kInvalidArgument, "rollout request " + std::to_string(request.id) + ": " + message);
}

class PagedRolloutEngine final : public RolloutEngine {
 public:
  PagedRolloutEngine(std::unique_ptr<ForwardPass> model, std::unique_ptr<KvBlockPool> pool,
                     std::vector<TokenId> eos_tokens, const Tokenizer* tokenizer, const EngineOptions& options,
                     const Clock& clock)
      : model_(std::move(model)),
        pool_(std::move(pool)),
        eos_tokens_(std::move(eos_tokens)),
        tokenizer_(tokenizer),
        max_positions_(options.max_positions),
        max_step_tokens_(options.max_step_tokens),
        clock_(clock),
        prefixes_(options.max_batch),
        batcher_(*pool_, prefixes_, options.max_batch, options.max_step_tokens) {
    if (options.speculation) speculator_.emplace(clock, options.max_positions);
  }

  Status submit(RolloutRequest request) override;
  Result<bool> submit_with_kv(RolloutRequest request, const KvImport& kv) override;
  Status give(std::uint64_t id, std::span<const TokenId> tokens) override;
  EngineStep step(Lane& lane) override;
  std::optional<RolloutOutput> cancel(std::uint64_t id) override;
  std::optional<SequenceProgress> progress(std::uint64_t id) const override;
  std::optional<SequenceKv> sequence_kv(std::uint64_t id) const override;

  bool idle() const override { return by_id_.empty(); }
  bool has_work() const override {
    return num_running() + num_waiting() > 0 || !ended_outside_.empty() || !paused_at_submit_.empty();
  }
  int num_running() const override { return batcher_.num_running(); }
  int num_waiting() const override { return batcher_.num_waiting(); }
  int num_paused() const override { return batcher_.num_paused(); }
  void on_weights_changed() override {
    CHECK_MSG(idle(), "weights changed under running sequences");
    prefixes_.clear();
  }
  void use_weights(const PolicyWeights& weights) override {
    on_weights_changed();
    model_->use_weights(weights);
  }
  void release_memory() override {
    CHECK_MSG(idle(), "memory is released under running sequences");
    prefixes_.clear();
    pool_->release_pages();
  }
  std::size_t kv_block_bytes() const override { return pool_->block_bytes(); }
  std::size_t kv_bytes_total() const override { return bytes_of(pool_->num_total()); }
  std::size_t kv_bytes_used() const override { return bytes_of(pool_->num_total() - pool_->num_free()); }
  std::int64_t kv_positions_free() const override {
    return std::int64_t{kPositionsPerBlock} * (pool_->num_free() + prefixes_.num_evictable_blocks(0));
  }
  void check_integrity() const override;

 private:
  // A sequence whose next token is to be drawn from the first row of `logits`, and the ones after it from further rows
  // as far as `drafts` lead.
  struct Draw {
    Sequence* sequence = nullptr;
    const float* logits = nullptr;
    const kernels::LogSoftmaxStats* stats = nullptr;  // a row each
    Verification* drafts = nullptr;                   // null: one token
  };
  struct Drawn {
    TokenId token = 0;
    int row = 0;  // of the draw's rows
  };
  // What a row of logits is for.
  struct LogitRow {
    Sequence* sequence = nullptr;
    bool publishes = false;          // last token of a prompt that a group waits for
    bool draws = false;              // last token there is
    Verification* drafts = nullptr;  // what the rows of logits after it are for
  };

  Result<std::unique_ptr<Sequence>> make_sequence(RolloutRequest request);
  Status replay(const RolloutRequest& request, Sequence& sequence) const;
  void enqueue(std::unique_ptr<Sequence> sequence);
  void run_pass(Lane& lane, std::span<const PlannedRows> plan, EngineStep& step);
  void add_rows(const PlannedRows& planned);
  int add_draft_rows(const PlannedRows& planned, const DraftTree& tree, Verification& verification);
  void publish_prefix(Sequence& sequence, std::span<const float> logits, const kernels::LogSoftmaxStats& stats);
  void draw_tokens(Lane& lane, EngineStep& step);
  void draw_one(const Draw& draw, std::vector<Drawn>& drawn) const;
  void finish(Sequence& sequence, EngineStep& step);
  void append(Sequence& sequence, TokenId token, float logprob) const;
  void append_given(Sequence& sequence, std::span<const TokenId> tokens) const;
  int room_of(const Sequence& sequence) const {
    return std::min(sequence.sampling.max_new_tokens - sequence.num_completion(),
                    max_positions_ - sequence.num_tokens());
  }
  std::size_t bytes_of(int num_blocks) const { return static_cast<std::size_t>(num_blocks) * pool_->block_bytes(); }
  std::size_t vocab_size() const { return static_cast<std::size_t>(model_->vocab_size()); }

  std::unique_ptr<ForwardPass> model_;
  std::unique_ptr<KvBlockPool> pool_;  // before all that holds leases
  std::vector<TokenId> eos_tokens_;
  const Tokenizer* tokenizer_;
  int max_positions_;
  int max_step_tokens_;
  const Clock& clock_;
  PrefixCache prefixes_;
  Batcher batcher_;
  std::optional<Speculator> speculator_;
  std::unordered_map<std::uint64_t, Sequence*> by_id_;
  std::vector<std::unique_ptr<Sequence>> ended_outside_;  // what submit() or give() brought leaves nothing to do
  std::vector<std::uint64_t> paused_at_submit_;           // of those that are paused: not told yet
  std::uint64_t num_arrived_ = 0;

  // Of one pass; members so that a pass does not allocate.
  std::vector<std::int32_t> tokens_;
  std::vector<SequenceRows> rows_;
  std::vector<std::int32_t> logit_row_indices_;
  std::vector<LogitRow> logit_rows_;
  std::vector<kernels::LogSoftmaxStats> stats_;
  std::vector<Verification> verifications_;
  std::vector<Draw> draws_;
  std::vector<std::vector<Drawn>> drawn_;  // of each draw
};

Result<std::unique_ptr<Sequence>> PagedRolloutEngine::make_sequence(RolloutRequest request) {
  JIGSAW_RETURN_IF_ERROR(validate(request, {.vocab_size = model_->vocab_size(),
                                            .max_positions = max_positions_,
                                            .num_kv_blocks = pool_->num_total(),
                                            .has_tokenizer = tokenizer_ != nullptr}));
  if (by_id_.contains(request.id)) return invalid(request, "its id is in use");
  auto sequence = std::make_unique<Sequence>();
  sequence->id = request.id;
  sequence->arrival = num_arrived_++;
  sequence->random_key = request.random_key;
  sequence->prefix_group = request.prefix_group;
  sequence->stop = StopMatcher(request.sampling, eos_tokens_, tokenizer_);
  if (const std::string& pause = request.sampling.pause_string; !pause.empty()) {
    sequence->pause = StopMatcher({.stop_strings = {pause}}, {}, tokenizer_);
  }
  sequence->num_prompt = static_cast<int>(request.prompt.size());
  sequence->sampling = std::move(request.sampling);
  sequence->speculation = request.speculation;
  sequence->tokens = std::move(request.prompt);
  const std::int64_t num_tokens_max = std::int64_t{sequence->num_prompt} + sequence->sampling.max_new_tokens;
  sequence->tokens.reserve(static_cast<std::size_t>(std::min<std::int64_t>(num_tokens_max, max_positions_)));
  sequence->logprobs.reserve(sequence->tokens.capacity() - sequence->tokens.size());

  JIGSAW_RETURN_IF_ERROR(replay(request, *sequence));
  return sequence;
}

// The partial tokens, through the rules that they went through where they came from.
Status PagedRolloutEngine::replay(const RolloutRequest& request, Sequence& sequence) const {
  const std::span<const TokenId> tokens = request.partial_tokens;
  if (room_of(sequence) <= 0) sequence.finish_reason = FinishReason::kLength;
  auto given = request.partial_given.begin();
  for (std::size_t i = 0;;) {
    const bool is_given = given != request.partial_given.end() && given->begin == static_cast<int>(i);
    if (!is_given && i == tokens.size()) break;
    if (sequence.finish_reason != FinishReason::kNone) {
      return invalid(request, "partial_tokens go on after token " + std::to_string(i) + ", where the completion ends");
    }
    if (is_given != sequence.is_paused) {
      return invalid(request, "partial_given: token " + std::to_string(i) + " is " + (is_given ? "" : "not ") +
                                  "given, and the completion does " + (is_given ? "not " : "") + "pause before it");
    }
    if (is_given) {
      append_given(sequence, tokens.subspan(i, static_cast<std::size_t>(given->length())));
      i += static_cast<std::size_t>((given++)->length());
    } else {
      append(sequence, tokens[i], request.partial_logprobs[i]);
      ++i;
    }
  }
  if (!tokens.empty()) sequence.computed_once = sequence.num_tokens() - 1;
  return ok_status();
}

void PagedRolloutEngine::enqueue(std::unique_ptr<Sequence> sequence) {
  by_id_.emplace(sequence->id, sequence.get());
  if (speculator_) speculator_->begin(*sequence);
  if (sequence->finish_reason != FinishReason::kNone) {
    ended_outside_.push_back(std::move(sequence));
    return;
  }
  if (sequence->is_paused) paused_at_submit_.push_back(sequence->id);
  batcher_.enqueue(std::move(sequence));
}

Status PagedRolloutEngine::submit(RolloutRequest request) {
  JIGSAW_ASSIGN_OR_RETURN(std::unique_ptr<Sequence> sequence, make_sequence(std::move(request)));
  enqueue(std::move(sequence));
  return ok_status();
}

Result<bool> PagedRolloutEngine::submit_with_kv(RolloutRequest request, const KvImport& kv) {
  const auto num_tokens = static_cast<std::int64_t>(request.prompt.size() + request.partial_tokens.size());
  if (kv.block_floats != model_->kv_block_floats() || kv.num_positions < 1 || kv.num_positions >= num_tokens) {
    return invalid(request, "its keys and values (" + std::to_string(kv.num_positions) + " positions for " +
                                std::to_string(num_tokens) + " tokens, " + std::to_string(kv.block_floats) +
                                " floats a block) are not of this model");
  }
  JIGSAW_ASSIGN_OR_RETURN(std::unique_ptr<Sequence> sequence, make_sequence(std::move(request)));
  Sequence* const raw = sequence.get();
  const auto fill = [&](int block, float* memory) { kv.read_block(block, {memory, kv.block_floats}); };
  if (sequence->finish_reason == FinishReason::kNone && batcher_.adopt(sequence, kv.num_positions, fill)) {
    by_id_.emplace(raw->id, raw);
    if (speculator_) speculator_->begin(*raw);
    if (raw->is_paused) {
      batcher_.pause(*raw);
      paused_at_submit_.push_back(raw->id);
    }
    return true;
  }
  enqueue(std::move(sequence));
  return false;
}

Status PagedRolloutEngine::give(std::uint64_t id, std::span<const TokenId> tokens) {
  const auto found = by_id_.find(id);
  const std::string name = "give() to sequence " + std::to_string(id);
  if (found == by_id_.end() || !found->second->is_paused) {
    return Error(ErrorCode::kInvalidArgument, name + ": it is not paused");
  }
  for (const TokenId token : tokens) {
    if (token < 0 || token >= model_->vocab_size()) {
      return Error(ErrorCode::kInvalidArgument, name + ": token " + std::to_string(token) +
                                                    " is outside the vocabulary of " +
                                                    std::to_string(model_->vocab_size()));
    }
  }
  Sequence& sequence = *found->second;
  std::erase(paused_at_submit_, id);
  append_given(sequence, tokens);
  if (sequence.finish_reason == FinishReason::kNone) {
    batcher_.resume(sequence);
  } else {
    ended_outside_.push_back(batcher_.remove(sequence));
  }
  return ok_status();
}

EngineStep PagedRolloutEngine::step(Lane& lane) {
  EngineStep step;
  step.paused = std::exchange(paused_at_submit_, {});
  for (const auto& sequence : ended_outside_) {
    by_id_.erase(sequence->id);
    if (speculator_) speculator_->end(*sequence);
    step.finished.push_back(sequence->take_output());
  }
  ended_outside_.clear();

  draws_.clear();
  for (Sequence* sequence : batcher_.admit()) {
    const CachedPrefix& prefix = prefixes_.find(sequence->prefix_group);
    draws_.push_back({sequence, prefix.logits.data(), &prefix.stats});
  }
  draw_tokens(lane, step);

  const std::int64_t preempted_before = batcher_.num_preempted();
  if (batcher_.num_running() > 0) run_pass(lane, batcher_.plan(), step);
  step.preempted = static_cast<int>(batcher_.num_preempted() - preempted_before);
  // Stable: a member that began with a cached prompt draws two tokens in one step.
  std::ranges::stable_sort(step.events, {}, &EngineStep::Event::id);
  return step;
}

void PagedRolloutEngine::add_rows(const PlannedRows& planned) {
  Sequence& sequence = *planned.sequence;
  const int begin = sequence.kv_length, end = begin + planned.num_rows;
  const auto row_of = [&, first_row = static_cast<std::int32_t>(tokens_.size())](int position) {
    return first_row + position - begin;
  };
  const int prompt_end = sequence.num_prompt;
  const bool publishes = sequence.computes_prefix && begin < prompt_end && prompt_end <= end;
  const bool draws = end == sequence.num_tokens();
  if (publishes) {
    logit_row_indices_.push_back(row_of(prompt_end - 1));
    logit_rows_.push_back({&sequence, true, draws && prompt_end == end});
  }
  if (draws && !(publishes && prompt_end == end)) {
    logit_row_indices_.push_back(row_of(end - 1));
    logit_rows_.push_back({&sequence, false, true});
  }
  tokens_.insert(tokens_.end(), sequence.tokens.begin() + begin, sequence.tokens.begin() + end);
  rows_.push_back({.num_rows = planned.num_rows, .position_begin = begin, .blocks = sequence.lease.bases()});
}

// Of a decoding sequence, and for its drafts; returns how many there are.
int PagedRolloutEngine::add_draft_rows(const PlannedRows& planned, const DraftTree& tree, Verification& verification) {
  verification.begin(*pool_, *planned.sequence, tree);
  const auto first_row = static_cast<std::int32_t>(tokens_.size());
  verification.add_rows(tokens_, rows_);
  for (int row = 0; row <= verification.num_drafts(); ++row) {
    logit_row_indices_.push_back(first_row + row);
    logit_rows_.push_back({planned.sequence, false, row == 0, &verification});
  }
  return verification.num_drafts();
}

void PagedRolloutEngine::run_pass(Lane& lane, std::span<const PlannedRows> plan, EngineStep& step) {
  tokens_.clear();
  rows_.clear();
  logit_row_indices_.clear();
  logit_rows_.clear();
  std::span<const DraftTree> drafts;
  if (speculator_) drafts = speculator_->draft(plan, max_step_tokens_, lane.num_threads());
  verifications_.resize(std::max(verifications_.size(), plan.size()));
  const Clock::TimePoint begin = clock_.now();
  for (std::size_t i = 0; i < plan.size(); ++i) {
    if (drafts.empty() || drafts[i].empty()) {
      add_rows(plan[i]);
    } else {
      step.draft_tokens += add_draft_rows(plan[i], drafts[i], verifications_[i]);
    }
  }
  const std::span<const float> logits =
      model_->forward(lane, {.tokens = tokens_, .sequences = rows_, .logit_rows = logit_row_indices_});

  for (const PlannedRows& planned : plan) {
    Sequence& sequence = *planned.sequence;
    (planned.is_decode ? step.decode_tokens : step.prefill_tokens) += planned.num_rows;
    step.recomputed_tokens += std::clamp(sequence.computed_once - sequence.kv_length, 0, planned.num_rows);
    sequence.kv_length += planned.num_rows;
  }
  if (logit_rows_.empty()) return;

  stats_.resize(logit_rows_.size());
  kernels::log_softmax_stats(lane, static_cast<int>(logit_rows_.size()), model_->vocab_size(), logits.data(),
                             model_->vocab_size(), stats_.data());
  draws_.clear();
  for (std::size_t i = 0; i < logit_rows_.size(); ++i) {
    const std::span<const float> row = logits.subspan(i * vocab_size(), vocab_size());
    if (logit_rows_[i].publishes) publish_prefix(*logit_rows_[i].sequence, row, stats_[i]);
    const LogitRow& use = logit_rows_[i];
    if (use.draws) draws_.push_back({use.sequence, row.data(), &stats_[i], use.drafts});
  }
  draw_tokens(lane, step);
  if (speculator_ && step.prefill_tokens == 0) {
    speculator_->record_pass(static_cast<int>(tokens_.size()), lane.num_threads(), clock_.now() - begin);
  }
}

void PagedRolloutEngine::publish_prefix(Sequence& sequence, std::span<const float> logits,
                                        const kernels::LogSoftmaxStats& stats) {
  // The sequence goes on in a copy of the last block, unless the prompt fills it.
  prefixes_.publish(sequence.prefix_group, {.lease = sequence.lease.share_front(num_blocks_for(sequence.num_prompt)),
                                            .logits = {logits.begin(), logits.end()},
                                            .stats = stats});
  sequence.computes_prefix = false;
}

// The draws of a sequence are its own: which token comes t-th depends on the logits after the t tokens before it, and
// those are the same whether its row was computed in this pass, as a draft, or would have been in the next.
void PagedRolloutEngine::draw_one(const Draw& draw, std::vector<Drawn>& drawn) const {
  const Sequence& sequence = *draw.sequence;
  drawn.clear();
  for (int row = 0; row >= 0;) {
    const std::span<const float> logits(draw.logits + static_cast<std::size_t>(row) * vocab_size(), vocab_size());
    const auto index = static_cast<std::uint64_t>(sequence.num_completion()) + drawn.size();
    const TokenId token = sample_token(logits, draw.stats[row].max, sequence.sampling, sequence.random_key, index);
    drawn.push_back({token, row});
    row = draw.drafts != nullptr ? draw.drafts->next_row(row, token) : -1;
  }
}

void PagedRolloutEngine::draw_tokens(Lane& lane, EngineStep& step) {
  if (drawn_.size() < draws_.size()) drawn_.resize(draws_.size());
  lane.parallel_for(static_cast<std::int64_t>(draws_.size()), 1, [this](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      draw_one(draws_[i], drawn_[i]);
    }
  });
  for (std::size_t i = 0; i < draws_.size(); ++i) {
    const Draw& draw = draws_[i];
    Sequence& sequence = *draw.sequence;
    int last_row = 0;
    for (const auto& [token, row] : drawn_[i]) {
      if (sequence.finish_reason != FinishReason::kNone || sequence.is_paused) break;
      const float logprob = kernels::log_prob_of(
          draw.logits[static_cast<std::size_t>(row) * vocab_size() + static_cast<std::size_t>(token)], draw.stats[row]);
      append(sequence, token, logprob);
      step.events.push_back({sequence.id, token, logprob});
      step.accepted_tokens += row > 0 ? 1 : 0;
      last_row = row;
    }
    if (draw.drafts != nullptr) {
      draw.drafts->accept(sequence, last_row);
      draw.drafts->end();
    }
    if (sequence.finish_reason != FinishReason::kNone) {
      finish(sequence, step);
    } else if (sequence.is_paused) {
      batcher_.pause(sequence);
      step.paused.push_back(sequence.id);
    }
  }
}

void PagedRolloutEngine::finish(Sequence& sequence, EngineStep& step) {
  by_id_.erase(sequence.id);
  if (speculator_) speculator_->end(sequence);
  step.finished.push_back(batcher_.remove(sequence)->take_output());
}

void PagedRolloutEngine::append(Sequence& sequence, TokenId token, float logprob) const {
  sequence.tokens.push_back(token);
  sequence.logprobs.push_back(logprob);
  if (sequence.stop.accept(token)) {
    sequence.finish_reason = FinishReason::kStop;
  } else if (room_of(sequence) <= 0) {
    sequence.finish_reason = FinishReason::kLength;
  } else if (sequence.pause.accept(token)) {
    if (static_cast<int>(sequence.given.size()) < sequence.sampling.pauses_max) {
      sequence.is_paused = true;
    } else {
      sequence.finish_reason = FinishReason::kStop;
    }
  }
}

// Of a paused sequence: what follows, as far as there is room for it.
void PagedRolloutEngine::append_given(Sequence& sequence, std::span<const TokenId> tokens) const {
  const int begin = sequence.num_completion();
  tokens = tokens.first(std::min(tokens.size(), static_cast<std::size_t>(room_of(sequence))));
  sequence.tokens.insert(sequence.tokens.end(), tokens.begin(), tokens.end());
  sequence.logprobs.resize(sequence.logprobs.size() + tokens.size(), 0.0f);
  sequence.given.push_back({begin, sequence.num_completion()});
  sequence.stop.reset();
  sequence.pause.reset();
  sequence.is_paused = false;
  if (room_of(sequence) <= 0) sequence.finish_reason = FinishReason::kLength;
}

std::optional<RolloutOutput> PagedRolloutEngine::cancel(std::uint64_t id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return std::nullopt;
  Sequence* sequence = found->second;
  by_id_.erase(found);
  std::erase(paused_at_submit_, id);
  if (speculator_) speculator_->end(*sequence);
  std::unique_ptr<Sequence> removed;
  const auto ended = std::ranges::find(ended_outside_, sequence, &std::unique_ptr<Sequence>::get);
  if (ended != ended_outside_.end()) {
    removed = std::move(*ended);
    ended_outside_.erase(ended);
  } else {
    removed = batcher_.remove(*sequence);
  }
  removed->finish_reason = FinishReason::kCancelled;
  return removed->take_output();
}

std::optional<SequenceProgress> PagedRolloutEngine::progress(std::uint64_t id) const {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return std::nullopt;
  const Sequence& sequence = *found->second;
  return SequenceProgress{.tokens = std::span(sequence.tokens).subspan(static_cast<std::size_t>(sequence.num_prompt)),
                          .logprobs = sequence.logprobs,
                          .given = sequence.given};
}

std::optional<SequenceKv> PagedRolloutEngine::sequence_kv(std::uint64_t id) const {
  const auto found = by_id_.find(id);
  if (found == by_id_.end() || found->second->kv_length == 0) return std::nullopt;
  const Sequence& sequence = *found->second;
  return SequenceKv{
      .num_positions = sequence.kv_length,
      .blocks = sequence.lease.bases().first(static_cast<std::size_t>(num_blocks_for(sequence.kv_length))),
      .block_floats = model_->kv_block_floats()};
}

void PagedRolloutEngine::check_integrity() const {
  batcher_.check_integrity();
  CHECK(by_id_.size() ==
        static_cast<std::size_t>(num_running() + num_waiting() + num_paused()) + ended_outside_.size());
  for (const auto& [id, sequence] : by_id_) CHECK(sequence->id == id);
}

}  // namespace

Result<std::unique_ptr<RolloutEngine>> make_rollout_engine(std::unique_ptr<ForwardPass> model,
                                                           std::vector<TokenId> eos_tokens, const Tokenizer* tokenizer,
                                                           const EngineOptions& options, const Clock& clock) {
  JIGSAW_RETURN_IF_ERROR(validate(options));
  const std::size_t block_bytes = model->kv_block_floats() * sizeof(float);
  const std::size_t num_blocks = options.kv_bytes_max > 0
                                     ? options.kv_bytes_max / block_bytes
                                     : static_cast<std::size_t>(options.max_batch) *
                                           static_cast<std::size_t>(num_blocks_for(options.max_positions));
  if (num_blocks == 0) {
    return Error(ErrorCode::kInvalidArgument, "kv_bytes_max: " + std::to_string(options.kv_bytes_max) +
                                                  " bytes are less than one KV block of this model (" +
                                                  std::to_string(block_bytes) + ")");
  }
  if (num_blocks > static_cast<std::size_t>(std::numeric_limits<int>::max() / kPositionsPerBlock)) {
    return Error(ErrorCode::kInvalidArgument,
                 std::to_string(num_blocks) + " KV blocks are more than an engine can count; lower kv_bytes_max");
  }
  JIGSAW_ASSIGN_OR_RETURN(auto pool, KvBlockPool::create(static_cast<int>(num_blocks), model->kv_block_floats()));
  std::unique_ptr<RolloutEngine> engine = std::make_unique<PagedRolloutEngine>(
      std::move(model), std::move(pool), std::move(eos_tokens), tokenizer, options, clock);
  return engine;
}

}  // namespace jigsaw
