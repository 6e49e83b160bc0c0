#include "scheduler/members.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace jigsaw {

std::vector<PeerId> Members::living() const {
  std::vector<PeerId> living;
  for (PeerId worker = 1; worker < members_.size(); ++worker) {
    if (!members_[worker].lost && !members_[worker].joining) living.push_back(worker);
  }
  return living;
}

PeerId Members::add_joining() {
  members_.emplace_back().joining = true;
  return static_cast<PeerId>(members_.size() - 1);
}

int Members::num_lost() const {
  return static_cast<int>(
      std::ranges::count_if(members_, [](const Member& member) { return member.lost && !member.joining; }));
}

int Members::num_joined() const {
  return static_cast<int>(std::ranges::count_if(members_.begin() + 1 + num_at_start_, members_.end(),
                                                [](const Member& member) { return !member.joining; }));
}

wire::Members Members::to_message() const {
  wire::Members message;
  for (const PeerId worker : living()) {
    wire::Member& member = *message.add_member();
    member.set_worker(worker);
    member.set_endpoint(members_[worker].peer_endpoint);
    member.set_public_key(members_[worker].peer_public_key);
  }
  return message;
}

void Members::on_hello(PeerId worker, const wire::Hello& hello) {
  Member& member = members_[worker];
  member.hello = true;
  member.peer_endpoint = hello.peer_endpoint();
  member.peer_public_key = hello.peer_public_key();
  member.num_threads = static_cast<int>(hello.num_threads());
  // In this very process (--workers 0) there is nothing to watch.
  if (hello.process() == ::getpid() || hello.machine().empty() || hello.machine() != machine_name()) return;
  if (auto watch = ProcessWatch::open(hello.process()); watch.ok()) member.process = *std::move(watch);
}

std::string Members::reason_to_give_up(PeerId worker, Clock::TimePoint now,
                                       std::chrono::milliseconds silence_max) const {
  const Member& member = members_[worker];
  if (member.process.has_ended()) return "its process has ended";
  if (!member.send_error.empty()) return "it cannot be reached: " + member.send_error;
  const auto silent = now - member.last_heard;
  if (silent <= silence_max) return "";
  if (!member.ready || member.loading) return member.process.is_stopped() ? "its process is stopped" : "";
  return "it has been silent for " + std::to_string(std::chrono::duration_cast<std::chrono::seconds>(silent).count()) +
         " s (worker_timeout_s)";
}

void Members::lose(PeerId worker) {
  members_[worker].lost = true;
  members_[worker].waiting_for.clear();
  if (!members_[worker].joining) members_[worker].process.kill();
}

std::string names_of(const std::vector<PeerId>& workers) {
  std::string names;
  for (const PeerId worker : workers) names += (names.empty() ? "worker " : ", worker ") + std::to_string(worker);
  return names;
}

}  // namespace jigsaw
