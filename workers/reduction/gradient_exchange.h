// How workers turn their partial sums into one gradient that all of them have. One exchange a pipeline; executor thread
// only; nothing here blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "workers/reduction/slot_sum.h"

namespace jigsaw {

class GradientExchange {
 public:
  virtual ~GradientExchange() = default;
  // Every worker calls this once an update, with the same owners and its own partial sums. `sum` and `result` stay
  // where they are until poll() has said true.
  virtual Status start(std::span<const std::uint32_t> owners, SlotSum& sum, std::span<float> result) = 0;
  // True when `result` holds the whole gradient.
  virtual Result<bool> poll() = 0;
  // For stall reports: whom we wait for.
  virtual std::string waiting_for() const = 0;
};

// For one worker: the root is there already.
std::unique_ptr<GradientExchange> make_local_exchange();

// Makes a pipeline's exchange; called for pipeline 0, 1, ... in order, on every worker.
using MakeExchange = std::function<Result<std::unique_ptr<GradientExchange>>(int pipeline)>;

}  // namespace jigsaw
