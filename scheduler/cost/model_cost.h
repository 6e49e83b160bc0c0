// How long a model's work takes alone on a whole worker. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/sub_stage_kind.h"

namespace jigsaw {

struct ModelCost {
  struct DecodePoint {
    double batch;    // sequences in the pass
    double seconds;  // of one pass
    bool operator==(const DecodePoint&) const = default;
  };
  std::string name;
  std::vector<DecodePoint> decode;  // ascending, at least one
  // A pass takes this much longer for each cached token that its attention reads beyond `context_from` a sequence.
  double context_token_s = 0;
  double context_from = 0;
  // A prefill pass: pass_s + token_s x tokens.
  double prefill_token_s = 0;
  double prefill_pass_s = 0;
  // Training; 0 = not known (a simulated workload states whole stages instead).
  double logprob_token_s = 0;
  double update_token_s = 0;  // forward and backward
  double optimizer_s = 0;     // a step of it
  bool operator==(const ModelCost&) const = default;

  // One decode pass over `batch` sequences with on average `context` cached tokens. Linear between the points, as at
  // the first point below it, along the last two beyond the last.
  double decode_s(double batch, double context) const { return decode_run_s(batch, context, 1); }
  // `passes` of them, over which the context grows by a token each.
  double decode_run_s(double batch, double context, std::int64_t passes) const;
  double prefill_s(double tokens) const { return tokens > 0 ? prefill_pass_s + prefill_token_s * tokens : 0; }
};

// What is left to do of a sequence.
struct SequenceLeft {
  double context = 0;       // cached tokens
  std::int64_t tokens = 0;  // still to decode, each by a pass
};

struct WorkPart {
  double seconds = 0;  // alone, on the whole worker
  double tokens = 0;
  WorkPart& operator+=(const WorkPart& other) {
    seconds += other.seconds;
    tokens += other.tokens;
    return *this;
  }
};

// By the width of the passes; in this order, since the batch only gets narrower.
struct DecodeWork {
  WorkPart wide, bulk, tail;
  WorkPart total() const {
    WorkPart sum = wide;
    sum += bulk;
    return sum += tail;
  }
};

// Decoding all of these together until the last one ends; none joins on the way.
DecodeWork decode_work(const ModelCost& model, std::vector<SequenceLeft> sequences, const TokenBins& bins);

}  // namespace jigsaw
