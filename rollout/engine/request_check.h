// What a rollout request must fulfil to be run at all. Pure.
#pragma once

#include "core/result.h"
#include "rollout/engine/rollout_engine.h"

namespace jigsaw {

struct RequestLimits {
  int vocab_size = 0;
  int max_positions = 0;
  int num_kv_blocks = 0;  // of the whole pool: a request must be able to run alone
  bool has_tokenizer = false;
};

// kInvalidArgument, with the request's id and the field.
Status validate(const RolloutRequest& request, const RequestLimits& limits);

}  // namespace jigsaw
