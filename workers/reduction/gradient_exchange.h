// How workers turn their partial sums into one gradient that all of them have. One exchange a pipeline; executor thread
// only; nothing here blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "workers/reduction/slot_sum.h"

namespace jigsaw {

struct ExchangeWork {
  std::vector<std::uint32_t> owners;        // worker of each gradient slot
  std::vector<std::uint32_t> participants;  // workers that exchange, ascending; all owners are among them
  std::uint64_t attempt = 0;                // the same on all participants, and of this exchange alone
};

class GradientExchange {
 public:
  virtual ~GradientExchange() = default;
  // Every participant calls this once an update, with its own partial sums, if it has any, of so many floats each.
  virtual Status start(ExchangeWork work, SlotSum sum, std::size_t num_floats) = 0;
  // The whole gradient, once, when it is here.
  virtual Result<std::optional<AlignedFloats>> poll() = 0;
  // Some of those it exchanges with are gone: it ends what is under way, and is used no more.
  virtual void abandon() = 0;
  // For stall reports: whom we wait for.
  virtual std::string waiting_for() const = 0;
};

// For one worker: the root is there already.
std::unique_ptr<GradientExchange> make_local_exchange();

// Makes a pipeline's exchange; called for pipeline 0, 1, ... in order, on every worker.
using MakeExchange = std::function<Result<std::unique_ptr<GradientExchange>>(int pipeline)>;

}  // namespace jigsaw
