// OpenMPI's part: bring the ranks together, hand out addresses and keys, and carry gradients. Rank 0 is the controller,
// ranks 1..N are the workers. One session a process, used from the main thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/transport/zmq_transport.h"
#include "workers/reduction/gradient_exchange.h"

namespace jigsaw {

// Whether this process was started by mpirun.
bool started_by_mpirun();

class MpiSession {
 public:
  static Result<std::unique_ptr<MpiSession>> init();
  // Ends MPI, unless this rank has left; bounded: a rank that hangs cannot hold this one for longer than 20 s.
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  // Some rank is gone: nothing collective can work any more, and the process ends without MPI_Finalize.
  void leave() { has_left_ = true; }

  int rank() const { return rank_; }
  int num_workers() const { return num_ranks_ - 1; }

  // No more collective calls will follow: until then, ranks that do not come within a minute end this process.
  void on_started();

  // All ranks call these together. What rank 0 gives, everyone gets.
  Result<std::string> broadcast(const std::string& text);
  // The public key of each worker, on rank 0; each worker gives its own.
  Result<std::vector<std::string>> gather_keys(const std::string& public_key);
  // Workers only, all of them together: the CPUs that this worker's lanes are to be bound to, out of the affinity masks
  // of all workers on its machine; empty = do not bind (see cpus_for_worker).
  Result<std::vector<int>> cpus_for_lanes(int num_threads);
  // Workers only, all of them, in the same order: an exchange of its own.
  Result<std::unique_ptr<GradientExchange>> make_exchange();

 private:
  struct Communicators;
  class ExitTimer;
  MpiSession();
  int rank_ = 0, num_ranks_ = 1;
  bool has_left_ = false;
  std::unique_ptr<ExitTimer> start_timer_;
  std::unique_ptr<Communicators> communicators_;
};

// Controller's and workers' side of the ZeroMQ transport, with keys made here and exchanged over MPI. All ranks
// together.
struct Listening {
  std::unique_ptr<ServerTransport> transport;
  std::string endpoint, public_key;  // for workers that come later
};
Result<Listening> listen_for_ranks(MpiSession& session);
Result<std::unique_ptr<Transport>> connect_to_rank_0(MpiSession& session);

}  // namespace jigsaw
