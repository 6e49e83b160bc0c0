// A sub-stage on a worker: work cut into bounded quanta (a decode iteration, a micro-batch, a batch of rewards),
// between which the executor may run others. Executor thread only.
#pragma once

#include <cstdint>
#include <string>

#include "core/lane.h"
#include "core/result.h"
#include "core/wire/messages.pb.h"

namespace jigsaw {

class SubStage {
 public:
  virtual ~SubStage() = default;
  // Looks after what does not need the lane (rewards that came back, peers' gradients); never blocks.
  virtual Status poll() = 0;
  // Whether a quantum could run now; false while waiting for others.
  virtual bool runnable() const = 0;
  // One quantum. Only when runnable.
  virtual Status run_quantum(Lane& lane) = 0;
  virtual bool done() const = 0;
  // Drops what is under way. Done afterwards. Updates cannot be dropped: false.
  virtual bool cancel() = 0;
  // Adds what this kind of sub-stage has to tell the controller. Once, when done.
  virtual void fill(wire::NodeDone& done) = 0;
  // For stall reports; empty when it waits for nobody.
  virtual std::string waiting_for() const = 0;
};

}  // namespace jigsaw
