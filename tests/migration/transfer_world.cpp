#include "tests/migration/transfer_world.h"

#include <algorithm>

namespace jigsaw {
namespace {

using std::chrono::milliseconds;

constexpr int kDecodeEveryMs = 10, kNoticeMs = 2000;
constexpr milliseconds kEndMax{std::chrono::minutes(10)};
constexpr milliseconds kSettling{3000};                     // after the last sample: what is late still comes
constexpr milliseconds kQuietMax{std::chrono::minutes(4)};  // the longest deadline, many resends

}  // namespace

// What a chunk holds: enough to see that it is the right one.
struct TransferWorld::ChunkBytes {
  std::uint32_t sample = 0, index = 0;
  int position = 0;
};

struct TransferWorld::Worker {
  struct Held {
    int position = 0;
    std::optional<TransferId> transfer{};  // that is to move it
    bool is_frozen = false;
    std::uint32_t num_chunks = 0;
  };
  Worker(PeerId peer, const TransferTargetOptions& target_options) : peer(peer), source({}), target(target_options) {}

  PeerId peer;
  bool runs = true;  // neither crashed nor stopped
  bool is_dead = false;
  TransferSource source;
  TransferTarget target;
  std::set<PeerId> members;  // as it was told
  std::uint64_t attempt = 0;
  std::map<std::uint32_t, Held> held;
  std::map<TransferTarget::Key, std::map<std::uint32_t, ChunkBytes>> stored;
  std::set<TransferTarget::Key> reserved;
};

TransferWorld::TransferWorld(const WorldOptions& options) : options_(options), random_(options.seed) {
  for (int sample = 0; sample < options_.num_samples; ++sample) {
    lengths_[static_cast<std::uint32_t>(sample)] = random(1, options_.length_max);
  }
  for (int i = 0; i < options_.num_workers; ++i) {
    workers_.push_back(std::make_unique<Worker>(
        ++last_peer_, TransferTargetOptions{.reserved_chunks_max = options_.reserved_chunks_max}));
    members_.insert(last_peer_);
  }
  hand_out();
  for (std::size_t i = 0; i < workers_.size(); ++i) step_worker(*workers_[i]);
  for (int i = 0; i < 60; ++i) at(random(0, 1500), [this] { start_move(); });
  for (int i = 0; i < options_.num_random_crashes; ++i) {
    at(random(0, 5000), [this] { crash(static_cast<std::size_t>(random(0, static_cast<int>(workers_.size()) - 1))); });
  }
}

TransferWorld::~TransferWorld() = default;

bool TransferWorld::run() {
  std::optional<TimePoint> finished_at;
  while (!events_.empty() && violation_.empty()) {
    if (!finished_at && finished_.size() == lengths_.size()) finished_at = now_;
    if (finished_at && now_ > *finished_at + (is_quiet() ? kSettling : kQuietMax)) break;
    if (now_ > TimePoint() + kEndMax) return false;
    if (num_events_++ == options_.crash_at_event) crash(static_cast<std::size_t>(options_.crash_worker));
    const Event event = events_.top();
    events_.pop();
    now_ = event.time;
    event.what();
    check_invariants();
  }
  for (const auto& worker : workers_) {
    if (!worker->runs || !members_.contains(worker->peer)) continue;
    check(worker->source.num_open() == 0, "a transfer is open at its source at the end");
    check(worker->target.num_live() == 0 && worker->target.reserved_chunks() == 0, "memory is reserved at the end");
    check(worker->stored.empty() && worker->reserved.empty(), "chunks are stored at the end");
  }
  return finished_at.has_value();
}

bool TransferWorld::is_quiet() const {
  return std::ranges::all_of(workers_, [&](const auto& worker) {
    if (!worker->runs || !members_.contains(worker->peer)) return true;
    return worker->source.num_open() == 0 && worker->target.num_live() == 0 && worker->stored.empty();
  });
}

void TransferWorld::at(int delay_ms, std::function<void()> what) {
  events_.push({now_ + milliseconds(delay_ms), num_scheduled_++, std::move(what)});
}

void TransferWorld::check(bool holds, const std::string& what) {
  if (!holds && violation_.empty()) {
    violation_ = "seed " + std::to_string(options_.seed) + ", event " + std::to_string(num_events_) + ": " + what;
  }
}

int TransferWorld::random(int begin, int end) { return std::uniform_int_distribution<int>(begin, end)(random_); }
bool TransferWorld::chance(double probability) {
  return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
}

TransferWorld::Worker* TransferWorld::find(PeerId peer) { return workers_.at(peer - 1).get(); }

void TransferWorld::step_worker(Worker& worker) {
  if (worker.is_dead) return;
  if (worker.runs) {
    decode(worker);
    worker.source.on_time(now_);
    worker.target.on_time(now_);
    pump(worker);
  }
  at(kDecodeEveryMs + random(0, 3), [this, &worker] { step_worker(worker); });
}

void TransferWorld::decode(Worker& worker) {
  for (auto held = worker.held.begin(); held != worker.held.end();) {
    auto& [sample, state] = *held;
    if (state.is_frozen) {
      ++held;
      continue;
    }
    int& upto = decoded_upto_[{worker.attempt, sample}];
    check(state.position == upto, "a token was decoded twice or left out");
    upto = state.position + 1;
    if (++state.position < lengths_.at(sample)) {
      ++held;
      continue;
    }
    if (state.transfer) worker.source.forget(*state.transfer);
    at(random(1, 50), [this, peer = worker.peer, finished = sample] { report(peer, finished); });
    held = worker.held.erase(held);
  }
}

void TransferWorld::report(PeerId from, std::uint32_t sample) {
  if (!members_.contains(from)) return;
  ++num_reports_;
  finished_.insert(sample);
}

void TransferWorld::start_move() {
  if (members_.size() < 2) return;
  std::vector<PeerId> members(members_.begin(), members_.end());
  std::ranges::shuffle(members, random_);
  Worker &source = *find(members[0]), &target = *find(members[1]);
  if (!source.runs || source.attempt != target.attempt) return;
  for (auto& [sample, held] : source.held) {
    if (held.transfer || !source.source.may_offer() || chance(0.5)) continue;
    held.num_chunks = static_cast<std::uint32_t>(random(1, 12));
    held.transfer = source.source.offer(
        target.peer, {.to_node = source.attempt, .sample = sample, .num_tokens = 0, .chunks_max = held.num_chunks + 1},
        now_);
    if (chance(options_.cancels)) {
      at(random(0, 200), [&source, id = *held.transfer] {
        if (source.runs) source.source.cancel(id);
      });
    }
  }
  pump(source);
}

void TransferWorld::pump(Worker& worker) {
  do_source_actions(worker);
  do_target_actions(worker);
  std::set<PeerId> blocked;
  for (const PeerId peer : members_) {
    if (chance(0.1)) blocked.insert(peer);  // a full link
  }
  while (const auto message = worker.source.next_message(blocked, now_)) send(worker, *message);
  while (const auto message = worker.target.next_message(blocked)) send(worker, *message);
}

template <typename Message>
void TransferWorld::send(Worker& from, const Addressed<Message>& message) {
  std::optional<ChunkBytes> bytes;
  if constexpr (std::is_same_v<Message, SourceMessage>) {
    if (const auto* chunk = std::get_if<Chunk>(&message.message)) {
      for (const auto& [sample, held] : from.held) {
        if (held.transfer == chunk->id) bytes = ChunkBytes{sample, chunk->index, held.position};
      }
      check(bytes.has_value(), "a chunk of a sequence that is not there is to be sent");
    }
  }
  const int copies = chance(options_.loss) ? 0 : chance(options_.duplication) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    const int delay = chance(0.02) ? options_.delay_max_ms * 100 : random(0, options_.delay_max_ms);
    at(delay,
       [this, from_peer = from.peer, message, bytes] { deliver(from_peer, message.to, message.message, bytes); });
  }
}

void TransferWorld::deliver(PeerId from, PeerId to, const SourceMessage& message, std::optional<ChunkBytes> bytes) {
  Worker& worker = *find(to);
  if (worker.is_dead || !worker.members.contains(from)) return;
  if (!worker.runs) return at(100, [=, this] { deliver(from, to, message, bytes); });  // in its inbox
  if (const auto* chunk = std::get_if<Chunk>(&message)) {
    if (worker.target.on_chunk(from, *chunk, now_)) worker.stored[{from, chunk->id}][chunk->index] = *bytes;
  } else {
    worker.target.on_message(from, message, now_);
  }
  pump(worker);
}

void TransferWorld::deliver(PeerId from, PeerId to, const TargetMessage& message, std::optional<ChunkBytes> bytes) {
  Worker& worker = *find(to);
  if (worker.is_dead || !worker.members.contains(from)) return;
  if (!worker.runs) return at(100, [=, this] { deliver(from, to, message, bytes); });
  worker.source.on_message(from, message, now_);
  pump(worker);
}

void TransferWorld::do_source_actions(Worker& worker) {
  const auto held_by = [&](TransferId id) {
    return std::ranges::find_if(worker.held, [&](const auto& entry) { return entry.second.transfer == id; });
  };
  for (const TransferSource::Action& action : worker.source.take_actions()) {
    if (action.what == TransferSource::Do::kUnanswered) continue;
    const auto held = held_by(action.id);
    check(held != worker.held.end(), "an action is about a sequence that is not there");
    if (held == worker.held.end()) return;
    if (action.what == TransferSource::Do::kFreeze) {
      held->second.is_frozen = true;
      worker.source.payload(action.id, held->second.num_chunks, now_);
    } else if (action.what == TransferSource::Do::kForget) {
      check(held->second.is_frozen, "what was moved was not frozen");
      worker.held.erase(held);
      ++num_moved_;
    } else {
      held->second.transfer.reset();
      held->second.is_frozen = false;
    }
  }
}

void TransferWorld::do_target_actions(Worker& worker) {
  for (const TransferTarget::Action& action : worker.target.take_actions()) {
    const TransferTarget::Key key = action.key;
    const bool is_current = action.terms.to_node == worker.attempt;
    if (action.what == TransferTarget::Do::kDecide) {
      // Or it is still frozen here: it comes back before the source of its way out has heard that it arrived.
      if (!is_current || worker.held.contains(action.terms.sample) || chance(0.1)) {
        worker.target.refuse(key, "no");
        continue;
      }
      worker.reserved.insert(key);
      worker.target.reserve(key, now_);
      if (chance(options_.cancels)) {
        at(random(0, 200), [&worker, key] {
          if (worker.runs) worker.target.cancel(key, "cancelled");
        });
      }
      continue;
    }
    const auto chunks = std::exchange(worker.stored[key], {});
    worker.stored.erase(key);
    worker.reserved.erase(key);
    if (action.what == TransferTarget::Do::kDrop) continue;
    if (!is_current) {
      worker.target.activated(key, "another attempt");
      continue;
    }
    check(chunks.size() == action.num_chunks, "chunks are missing");
    for (const auto& [index, bytes] : chunks) {
      check(bytes.index == index && bytes.sample == action.terms.sample &&
                bytes.position == chunks.begin()->second.position,
            "a chunk of another payload");
    }
    check(!worker.held.contains(action.terms.sample), "a worker got a sample that it has");
    worker.held[action.terms.sample] = {.position = chunks.begin()->second.position};
    worker.target.activated(key, std::nullopt);
  }
}

// What the controller does: a worker is gone, later a new one comes in its place; all living ones drop what they have,
// and what is not finished is handed out.
void TransferWorld::crash(std::size_t index) {
  Worker& worker = *workers_.at(index);
  if (!worker.runs || !members_.contains(worker.peer) || members_.size() < 2) return;
  worker.runs = false;
  worker.is_dead = !options_.stops;
  if (!worker.is_dead) at(random(100, 4000), [&worker] { worker.runs = true; });
  at(kNoticeMs, [this, &worker] {
    members_.erase(worker.peer);
    hand_out();
    at(random(0, 3000), [this] {
      workers_.push_back(std::make_unique<Worker>(
          ++last_peer_, TransferTargetOptions{.reserved_chunks_max = options_.reserved_chunks_max}));
      members_.insert(last_peer_);
      hand_out();
      step_worker(*workers_.back());
    });
    for (int i = 0; i < 10; ++i) at(random(0, 1500), [this] { start_move(); });
  });
}

void TransferWorld::hand_out() {
  if (members_.empty()) return;  // until one comes
  const std::uint64_t attempt = ++attempt_;
  std::map<PeerId, std::vector<std::uint32_t>> work;
  for (const PeerId peer : members_) work[peer];
  auto next = work.begin();
  for (const auto& [sample, length] : lengths_) {
    if (finished_.contains(sample)) continue;
    next->second.push_back(sample);
    if (++next == work.end()) next = work.begin();
  }
  // Each worker hears of it at its own time.
  for (const auto& [peer, samples] : work) {
    const auto hear = [this, attempt, members = members_, peer = peer, samples = samples](const auto& self) -> void {
      Worker& worker = *find(peer);
      if (worker.is_dead || worker.attempt > attempt) return;
      if (!worker.runs) return at(100, [self] { self(self); });
      for (const PeerId other : worker.members) {
        if (members.contains(other)) continue;
        worker.source.on_peer_lost(other);
        worker.target.on_peer_lost(other);
      }
      worker.members = members;
      for (const auto& [sample, held] : worker.held) {
        if (held.transfer) worker.source.forget(*held.transfer);
      }
      worker.held.clear();
      for (const TransferTarget::Key& key : std::set(worker.reserved)) worker.target.cancel(key, "cancelled");
      do_source_actions(worker);
      do_target_actions(worker);
      worker.attempt = attempt;
      for (const std::uint32_t sample : samples) worker.held[sample] = {};
    };
    at(random(0, 100), [hear] { hear(hear); });
  }
}

void TransferWorld::check_invariants() {
  std::map<std::pair<std::uint64_t, std::uint32_t>, int> decoding;
  for (const PeerId peer : members_) {
    const Worker& worker = *find(peer);
    std::uint32_t reserved = worker.target.reserved_chunks();
    check(reserved <= options_.reserved_chunks_max, "more memory is reserved than there is");
    check(worker.source.num_open() <= TransferSourceOptions{}.open_max, "too many transfers");
    for (const auto& [key, chunks] : worker.stored) {
      check(worker.reserved.contains(key), "chunks of a transfer that is over are stored");
      reserved -= std::min(reserved, static_cast<std::uint32_t>(chunks.size()));
    }
    for (const auto& [sample, held] : worker.held) {
      if (!held.is_frozen && !worker.is_dead) ++decoding[{worker.attempt, sample}];
    }
  }
  for (const auto& [which, count] : decoding) check(count <= 1, "two workers decode one sample");
}

}  // namespace jigsaw
