// A sub-stage on a worker: work cut into bounded quanta (a decode iteration, some layers of a micro-batch, a batch of
// rewards), between which the executor may run others. Touched by one thread at a time: run_quantum(), and runnable()
// after it, on a lane's thread; all else on the executor's, and only while no quantum of it runs. MPI, the transport
// and child processes belong to the executor's thread, hence into poll().
#pragma once

#include <cstdint>
#include <string>

#include "core/lane.h"
#include "core/result.h"
#include "core/wire/messages.pb.h"

namespace jigsaw {

// The mutable state of a pipeline that a sub-stage touches. Two sub-stages of one pipeline compute at the same time
// only where these have nothing in common.
enum class PipelineParts : unsigned {
  kRollout = 1,   // engine, reward, the weights of the rollout
  kTraining = 2,  // trainer, optimizer, exchange, the trained weights
  kAll = kRollout | kTraining,
};
constexpr bool have_common(PipelineParts a, PipelineParts b) {
  return (static_cast<unsigned>(a) & static_cast<unsigned>(b)) != 0;
}

class SubStage {
 public:
  virtual ~SubStage() = default;
  virtual PipelineParts uses() const { return PipelineParts::kAll; }
  // Looks after what does not need the lane (rewards that came back, peers' gradients); never blocks.
  virtual Status poll() = 0;
  // Whether a quantum could run now; false while waiting for others.
  virtual bool runnable() const = 0;
  // One quantum. Only when runnable.
  virtual Status run_quantum(Lane& lane) = 0;
  virtual bool done() const = 0;
  // Drops what is under way. Done afterwards. Updates cannot be dropped: false.
  virtual bool cancel() = 0;
  // The same when workers are gone that it may be waiting for: updates that are not applied are dropped, too. What ends
  // by itself (copies, checkpoints) runs to its end: false.
  virtual bool abandon() { return cancel(); }
  // Adds what this kind of sub-stage has to tell the controller. Once, when done.
  virtual void fill(wire::NodeDone& done) = 0;
  // For stall reports; empty when it waits for nobody.
  virtual std::string waiting_for() const = 0;
};

}  // namespace jigsaw
