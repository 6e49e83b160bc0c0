// A cluster in one thread: workers that decode samples and move them to each other by the transfer state machines, a
// network that loses, repeats, delays and reorders, crashes and stops, and a controller that notices, cancels and hands
// out anew. All from a seed. Invariants are checked at every event, by EXPECT.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "migration/transfer_source.h"
#include "migration/transfer_target.h"

namespace jigsaw {

struct WorldOptions {
  std::uint64_t seed = 1;
  int num_workers = 2;
  int num_samples = 6;
  int length_max = 60;  // tokens of a sample, at most
  double loss = 0;      // of a message between workers
  double duplication = 0;
  int delay_max_ms = 20;  // each message's own: they overtake each other
  double cancels = 0;     // chance of a cancel by either side, per move
  int num_random_crashes = 0;
  bool stops = false;       // crashed workers are only stopped, and go on as if nothing had been
  int crash_at_event = -1;  // of worker crash_worker
  int crash_worker = 0;
  std::uint32_t reserved_chunks_max = 16;
};

class TransferWorld {
 public:
  explicit TransferWorld(const WorldOptions& options);
  ~TransferWorld();
  // Until all samples are finished and all is quiet; false when that takes longer than it may.
  bool run();

  int num_events() const { return num_events_; }
  int num_moved() const { return num_moved_; }
  int num_reports() const { return num_reports_; }  // of finished samples, repeated ones included
  int num_attempts() const { return static_cast<int>(attempt_); }
  std::string violation() const { return violation_; }

 private:
  using TimePoint = Clock::TimePoint;
  struct Worker;
  struct ChunkBytes;
  void at(int delay_ms, std::function<void()> what);
  void check(bool holds, const std::string& what);
  void step_worker(Worker& worker);
  void decode(Worker& worker);
  void pump(Worker& worker);
  void do_source_actions(Worker& worker);
  void do_target_actions(Worker& worker);
  void start_move();
  template <typename Message>
  void send(Worker& from, const Addressed<Message>& message);
  void deliver(PeerId from, PeerId to, const SourceMessage& message, std::optional<ChunkBytes> bytes);
  void deliver(PeerId from, PeerId to, const TargetMessage& message, std::optional<ChunkBytes> bytes);
  void report(PeerId from, std::uint32_t sample);
  void crash(std::size_t index);
  void hand_out();
  void check_invariants();
  bool is_quiet() const;
  int random(int begin, int end);
  bool chance(double probability);
  Worker* find(PeerId peer);

  WorldOptions options_;
  std::mt19937_64 random_;
  TimePoint now_{};
  struct Event {
    TimePoint time;
    std::uint64_t order;
    std::function<void()> what;
    bool operator<(const Event& other) const { return std::tie(other.time, other.order) < std::tie(time, order); }
  };
  std::priority_queue<Event> events_;
  std::uint64_t num_scheduled_ = 0;
  int num_events_ = 0, num_moved_ = 0, num_reports_ = 0;
  std::vector<std::unique_ptr<Worker>> workers_;  // all that ever were
  PeerId last_peer_ = 0;
  std::set<PeerId> members_;  // as the controller sees it
  std::uint64_t attempt_ = 0;
  std::map<std::uint32_t, int> lengths_;
  std::set<std::uint32_t> finished_;                                     // at the controller
  std::map<std::pair<std::uint64_t, std::uint32_t>, int> decoded_upto_;  // by attempt and sample
  std::string violation_;
};

}  // namespace jigsaw
