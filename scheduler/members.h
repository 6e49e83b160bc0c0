// Who takes part in a run: which workers are connected, ready, lost. The plan numbers the living ones 1..N in ascending
// order; messages go to their own numbers (PeerId), which never change.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/process_watch.h"
#include "core/transport/transport.h"
#include "core/wire/messages.pb.h"

namespace jigsaw {

struct Member {
  bool hello = false, ready = false;
  bool loading = false;    // further pipelines
  bool joining = false;    // it takes no part yet
  bool lost = false;       // it takes part no more, whatever it may still send
  std::string send_error;  // why the last message to it could not be sent
  int num_threads = 1;
  Clock::TimePoint last_heard;
  std::string waiting_for;                     // as it said last
  std::uint64_t quiesced = 0;                  // newest epoch that it is at rest for
  std::string peer_endpoint, peer_public_key;  // for the others (wire::Members)
  ProcessWatch process;                        // when it is on this machine
};

class Members {
 public:
  explicit Members(int num_workers) : members_(static_cast<std::size_t>(num_workers) + 1), num_at_start_(num_workers) {}

  bool has(PeerId worker) const { return worker >= 1 && worker < members_.size(); }
  Member& at(PeerId worker) { return members_[worker]; }
  const Member& at(PeerId worker) const { return members_[worker]; }
  std::vector<PeerId> living() const;  // those that take part, ascending
  PeerId add_joining();
  int num_lost() const;    // that had taken part
  int num_joined() const;  // after the start, and still there or not

  wire::Members to_message() const;  // the living ones

  void on_hello(PeerId worker, const wire::Hello& hello);
  // Why a living worker must be counted as lost by now; empty while it need not. One that loads models says nothing for
  // as long as that takes, but must not be stopped.
  std::string reason_to_give_up(PeerId worker, Clock::TimePoint now, std::chrono::milliseconds silence_max) const;
  // From now on it takes no part. If it ever did, its process is ended, so that it cannot write a checkpoint later on.
  void lose(PeerId worker);

 private:
  std::vector<Member> members_;  // [0] unused
  int num_at_start_;
};

// "worker 1, worker 3"
std::string names_of(const std::vector<PeerId>& workers);

}  // namespace jigsaw
