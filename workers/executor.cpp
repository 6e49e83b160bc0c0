#include "workers/executor.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/check.h"

namespace jigsaw {
namespace {

double seconds_since(const Clock& clock, Clock::TimePoint begin) {
  return std::chrono::duration<double>(clock.now() - begin).count();
}

}  // namespace

Executor::Executor(int num_threads, const Clock& clock, std::vector<int> cpus)
    : clock_(clock), lanes_(num_threads, std::move(cpus)), chooser_(num_threads) {
  if (num_threads > 1) threads_.emplace();
}

void Executor::start(std::uint64_t node, int pipeline, double share, std::unique_ptr<SubStage> stage,
                     double quantum_s) {
  CHECK(share > 0 && quantum_s >= 0);
  Entry entry{.node = node, .pipeline = pipeline, .share = share, .stage = std::move(stage)};
  entry.quantum_s = quantum_s;
  if (!entries_.empty()) {
    entry.virtual_s = std::numeric_limits<double>::max();
    for (const Entry& other : entries_) entry.virtual_s = std::min(entry.virtual_s, other.virtual_s);
  }
  const auto place =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& other) { return other.node > node; });
  entries_.insert(place, std::move(entry));
}

Executor::Entry* Executor::find(std::uint64_t node) {
  const auto found = std::ranges::find(entries_, node, &Entry::node);
  return found == entries_.end() ? nullptr : &*found;
}

Result<bool> Executor::step() {
  JIGSAW_RETURN_IF_ERROR(account_ended());
  for (Entry& entry : entries_) {
    if (!entry.running && !entry.stage->done()) JIGSAW_RETURN_IF_ERROR(entry.stage->poll());
  }
  Entry* next = pick(nullptr);
  if (next != nullptr) {
    // Who waited meanwhile does not get that time back.
    for (Entry& entry : entries_) {
      if (!entry.running && !entry.stage->runnable()) entry.virtual_s = std::max(entry.virtual_s, next->virtual_s);
    }
  }
  if (!quanta_[0] && !quanta_[1]) {
    if (next == nullptr) return false;
    Entry* other = threads_ ? pick(next) : nullptr;
    if (other == nullptr) {
      JIGSAW_RETURN_IF_ERROR(run_alone(*next));
      return true;
    }
    if (other->node < next->node) std::swap(next, other);
    start_pair(*next, *other);
  } else if (next != nullptr && !(quanta_[0] && quanta_[1])) {
    start_beside(quanta_[0] ? 0 : 1, *next);
  }
  threads_->wait_any(something_may_come() ? std::optional(kPollEvery) : std::nullopt);
  JIGSAW_RETURN_IF_ERROR(account_ended());
  return true;
}

// The runnable sub-stage that comes next, of those that may compute beside what runs and beside `beside`. A lane is
// rather left free for a quantum than given to one that keeps out another whose turn it is: a checkpoint, which touches
// all, would otherwise never meet its rollout and its update at rest at once.
Executor::Entry* Executor::pick(const Entry* beside) {
  const auto keeps_out = [&](const Entry& other, const Entry& entry) {
    if (&other == &entry || other.pipeline != entry.pipeline) return false;
    if (!have_common(other.stage->uses(), entry.stage->uses())) return false;
    if (other.running || &other == beside) return true;
    return other.virtual_end_s() < entry.virtual_end_s() && !other.stage->done() && other.stage->runnable();
  };
  const auto may_run = [&](const Entry& entry) {
    return std::ranges::none_of(entries_, [&](const Entry& other) { return keeps_out(other, entry); });
  };
  Entry* best = nullptr;
  for (Entry& entry : entries_) {
    if (entry.running || &entry == beside || entry.stage->done() || !entry.stage->runnable()) continue;
    if (may_run(entry) && (best == nullptr || entry.virtual_end_s() < best->virtual_end_s())) best = &entry;
  }
  return best;
}

int Executor::num_contenders() const {
  return static_cast<int>(std::ranges::count_if(
      entries_, [](const Entry& entry) { return entry.running || (!entry.stage->done() && entry.stage->runnable()); }));
}

bool Executor::something_may_come() const {
  return !(quanta_[0] && quanta_[1]) || std::ranges::any_of(entries_, [](const Entry& entry) {
    return !entry.running && !entry.stage->done() && !entry.stage->runnable();
  });
}

Status Executor::run_alone(Entry& entry) {
  const Clock::TimePoint begin = clock_.now();
  const Status status = entry.stage->run_quantum(lanes_.whole());
  account(entry, seconds_since(clock_, begin), lanes_.num_threads());
  return status;
}

Partition Executor::partition(const Entry& first, const Entry& second) {
  if (num_contenders() > 2) return chooser_.choose_even();
  return chooser_.choose({first.node, first.share}, {second.node, second.share});
}

void Executor::start_pair(Entry& first, Entry& second) {
  // Whoever need not take turns has no claims for later, either: widths are whole cores and never quite the shares.
  if (num_contenders() == 2) first.virtual_s = second.virtual_s = std::max(first.virtual_s, second.virtual_s);
  const Partition split = partition(first, second);
  start_on(0, split.first, first);
  start_on(1, split.second, second);
}

void Executor::start_beside(int running_side, Entry& entry) {
  const Quantum& running = *quanta_[static_cast<std::size_t>(running_side)];
  Entry& other = *find(running.node);
  if (num_contenders() == 2) entry.virtual_s = other.virtual_s = std::max(entry.virtual_s, other.virtual_s);
  const Partition split = running_side == 0 ? partition(other, entry) : partition(entry, other);
  const int side = 1 - running_side;
  // A side widens only once the other one has become narrower.
  start_on(side, std::min(split.of(side), lanes_.num_threads() - running.width), entry);
}

void Executor::start_on(int side, int width, Entry& entry) {
  Quantum& quantum = quanta_[static_cast<std::size_t>(side)].emplace();
  quantum.node = entry.node;
  quantum.width = width;
  entry.running = true;
  threads_->start(side, lanes_.caller_cpu(side, width),
                  [this, &quantum, stage = entry.stage.get(), &lane = lanes_.lane(side, width)] {
                    const Clock::TimePoint begin = clock_.now();
                    do {
                      quantum.status = stage->run_quantum(lane);
                    } while (quantum.status.ok() && clock_.now() - begin < kSlice && stage->runnable());
                    quantum.seconds = seconds_since(clock_, begin);
                  });
}

Status Executor::account_ended() {
  Status first_error = ok_status();
  for (int side = 0; threads_ && side < kNumLaneSides; ++side) {
    if (!threads_->take_ended(side)) continue;
    const Quantum quantum = *std::exchange(quanta_[static_cast<std::size_t>(side)], std::nullopt);
    Entry& entry = *find(quantum.node);
    entry.running = false;
    account(entry, quantum.seconds, quantum.width);
    if (first_error.ok()) first_error = quantum.status;
  }
  return first_error;
}

void Executor::account(Entry& entry, double seconds, int width) {
  entry.busy_s += seconds;
  entry.quantum_s = seconds * width / lanes_.num_threads();
  entry.longest_quantum_s = std::max(entry.longest_quantum_s, entry.quantum_s);
  entry.virtual_s += entry.quantum_s / entry.share;
}

std::vector<Executor::Entry> Executor::take_done() {
  std::vector<Entry> done;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    if (!entry->running && entry->stage->done()) {
      done.push_back(std::move(*entry));
      entry = entries_.erase(entry);
    } else {
      ++entry;
    }
  }
  return done;
}

void Executor::finish_quanta(int pipeline, PipelineParts parts) {
  for (int side = 0; side < kNumLaneSides; ++side) {
    const std::optional<Quantum>& quantum = quanta_[static_cast<std::size_t>(side)];
    if (!quantum) continue;
    const Entry& entry = *find(quantum->node);
    if (entry.pipeline == pipeline && have_common(entry.stage->uses(), parts)) threads_->wait(side);
  }
}

void Executor::cancel(int pipeline) {
  finish_quanta(pipeline, PipelineParts::kAll);
  for (Entry& entry : entries_) {
    if (entry.pipeline == pipeline && !entry.stage->done()) entry.cancelled = entry.stage->cancel();
  }
}

void Executor::abandon_all() {
  for (int side = 0; side < kNumLaneSides; ++side) {
    if (quanta_[static_cast<std::size_t>(side)]) threads_->wait(side);
  }
  for (Entry& entry : entries_) {
    if (!entry.stage->done()) entry.cancelled = entry.stage->abandon();
  }
}

void Executor::reshare(std::uint64_t node, double share) {
  CHECK(share > 0);
  if (Entry* entry = find(node)) entry->share = share;
}

double Executor::busy_s(std::uint64_t node) const {
  const auto found = std::ranges::find(entries_, node, &Entry::node);
  return found == entries_.end() ? 0 : found->busy_s;
}

std::string Executor::waiting_for() const {
  std::string all;
  for (const Entry& entry : entries_) {
    if (entry.running) continue;
    const std::string waiting_for = entry.stage->waiting_for();
    if (!waiting_for.empty()) all += (all.empty() ? "" : ", ") + waiting_for;
  }
  return all;
}

}  // namespace jigsaw
