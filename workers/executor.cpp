#include "workers/executor.h"

#include <algorithm>
#include <limits>

#include "core/check.h"

namespace jigsaw {

void Executor::start(std::uint64_t node, int pipeline, double share, std::unique_ptr<SubStage> stage) {
  CHECK(share > 0);
  Entry entry{.node = node, .pipeline = pipeline, .share = share, .stage = std::move(stage)};
  if (!entries_.empty()) {
    entry.virtual_s = std::numeric_limits<double>::max();
    for (const Entry& other : entries_) entry.virtual_s = std::min(entry.virtual_s, other.virtual_s);
  }
  const auto place =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& other) { return other.node > node; });
  entries_.insert(place, std::move(entry));
}

Result<bool> Executor::step() {
  Entry* next = nullptr;
  for (Entry& entry : entries_) {
    if (entry.stage->done()) continue;
    JIGSAW_RETURN_IF_ERROR(entry.stage->poll());
    if (!entry.stage->runnable()) continue;
    if (next == nullptr || entry.virtual_s < next->virtual_s) next = &entry;
  }
  if (next == nullptr) return false;
  // Who waited meanwhile does not get that time back.
  for (Entry& entry : entries_) {
    if (!entry.stage->runnable()) entry.virtual_s = std::max(entry.virtual_s, next->virtual_s);
  }
  const Clock::TimePoint begin = clock_.now();
  const Status status = next->stage->run_quantum(lane_);
  const double seconds = std::chrono::duration<double>(clock_.now() - begin).count();
  next->busy_s += seconds;
  next->virtual_s += seconds / next->share;
  if (!status.ok()) return status.error();
  return true;
}

std::vector<Executor::Entry> Executor::take_done() {
  std::vector<Entry> done;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    if (entry->stage->done()) {
      done.push_back(std::move(*entry));
      entry = entries_.erase(entry);
    } else {
      ++entry;
    }
  }
  return done;
}

void Executor::cancel(int pipeline) {
  for (Entry& entry : entries_) {
    if (entry.pipeline == pipeline && !entry.stage->done()) entry.cancelled = entry.stage->cancel();
  }
}

std::string Executor::waiting_for() const {
  std::string all;
  for (const Entry& entry : entries_) {
    const std::string waiting_for = entry.stage->waiting_for();
    if (!waiting_for.empty()) all += (all.empty() ? "" : ", ") + waiting_for;
  }
  return all;
}

}  // namespace jigsaw
