#include "workers/profiling/decode_load.h"

#include <chrono>
#include <utility>

#include "core/check.h"

namespace jigsaw {

DecodeLoad::DecodeLoad(RolloutEngine& engine, DecodeLoadOptions options)
    : engine_(engine), options_(std::move(options)) {
  CHECK(options_.batch >= 1 && options_.prompt_tokens >= 1 && options_.new_tokens >= 1 && options_.vocab_size >= 1);
  CHECK(engine_.idle());
  options_.sampling.ignore_eos = true;
  options_.sampling.stop_tokens.clear();
  options_.sampling.stop_strings.clear();
  options_.sampling.max_new_tokens = options_.new_tokens;
}

DecodeLoad::~DecodeLoad() {
  for (int i = 0; i < options_.batch; ++i) (void)engine_.cancel(static_cast<std::uint64_t>(i));
}

Status DecodeLoad::submit() {
  ++rounds_;
  decoded_ = 0;
  for (int i = 0; i < options_.batch; ++i) {
    RolloutRequest request;
    request.id = static_cast<std::uint64_t>(i);
    request.random_key = static_cast<std::uint64_t>(rounds_);
    request.sampling = options_.sampling;
    request.speculation = false;
    for (int t = 0; t < options_.prompt_tokens; ++t) request.prompt.push_back((i + t) % options_.vocab_size);
    JIGSAW_RETURN_IF_ERROR(engine_.submit(std::move(request)));
  }
  return ok_status();
}

Result<DecodeLoad::Pass> DecodeLoad::step(Lane& lane) {
  if (engine_.idle()) JIGSAW_RETURN_IF_ERROR(submit());
  Pass pass;
  // Of n tokens drawn, the last one is not cached before this pass, which caches it first.
  pass.context = options_.prompt_tokens + static_cast<double>(decoded_) / options_.batch;
  const auto begin = std::chrono::steady_clock::now();
  const EngineStep step = engine_.step(lane);
  pass.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  pass.is_full = step.decode_tokens == options_.batch && step.prefill_tokens == 0;
  decoded_ += static_cast<std::int64_t>(step.events.size());
  return pass;
}

}  // namespace jigsaw
