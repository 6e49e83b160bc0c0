#include "workers/reduction/split_exchange.h"

#include <algorithm>
#include <limits>

#include "core/check.h"

namespace jigsaw {
namespace {

void set_name(wire::SplitItem& message, const SplitExchange::Name& name) {
  message.set_sample(name.sample);
  message.set_kind(static_cast<std::uint32_t>(name.item.kind));
  message.set_layer(static_cast<std::uint32_t>(name.item.layer));
  message.set_chunk(static_cast<std::uint32_t>(name.item.chunk));
  message.set_pair(static_cast<std::uint32_t>(name.item.pair));
}

// Of any message: a name that means nothing is one that nobody has.
SplitExchange::Name name_of(const wire::SplitItem& message) {
  const auto number = [](std::uint32_t value) {
    return static_cast<int>(std::min<std::uint32_t>(value, std::numeric_limits<int>::max()));
  };
  const auto kind = static_cast<SplitItem::Kind>(std::min<std::uint32_t>(message.kind(), 255));
  return {message.sample(),
          {.kind = kind,
           .layer = number(message.layer()),
           .chunk = number(message.chunk()),
           .pair = number(message.pair())}};
}

}  // namespace

SplitExchange::SplitExchange(PeerLinks& links, std::uint32_t pipeline, const Clock& clock)
    : links_(links), pipeline_(pipeline), clock_(clock) {}

void SplitExchange::begin(std::uint64_t attempt, std::vector<PeerId> participants) {
  CHECK(!is_under_way_);
  attempt_ = attempt;
  participants_ = std::move(participants);
  is_under_way_ = true;
}

void SplitExchange::end() {
  is_under_way_ = false;
  published_.clear();
  fetches_.clear();
  arrived_.clear();
  outbox_.clear();
}

void SplitExchange::publish(const Name& name, std::span<const float> floats) {
  CHECK(is_under_way_);
  published_[name] = floats;
}

void SplitExchange::withdraw_all_but_gradients(std::uint32_t sample) {
  std::erase_if(published_, [sample](const auto& entry) {
    return entry.first.sample == sample && entry.first.item.kind != SplitItem::Kind::kKeysValuesGradients;
  });
}

void SplitExchange::fetch(PeerId peer, const Name& name, std::span<float> to) {
  CHECK(is_under_way_ && !to.empty());
  const auto is_it = [&](const auto& entry) { return entry.first == name; };
  if (std::ranges::any_of(fetches_, is_it) || std::ranges::find(arrived_, name) != arrived_.end()) return;
  fetches_.emplace_back(name, Fetch{.peer = peer, .pieces = PieceFetch(to)});
}

void SplitExchange::serve() {
  std::erase_if(waiting_, [this](const auto& waiting) { return answer(waiting.first, waiting.second); });
  std::map<PeerId, std::size_t> under_way;
  for (const auto& [name, fetch] : fetches_) under_way[fetch.peer] += fetch.pieces.num_under_way();
  for (auto& [name, fetch] : fetches_) ask(name, fetch, under_way[fetch.peer]);
  outbox_.flush(links_);
}

void SplitExchange::ask(const Name& name, Fetch& fetch, std::size_t& under_way) {
  fetch.pieces.ask(clock_.now(), kPiecesUnderWay, under_way, [&](std::size_t begin, std::size_t count) {
    wire::PeerMessage message;
    wire::SplitRequest& asked = *message.mutable_split_request();
    asked.set_attempt(attempt_);
    asked.set_pipeline(pipeline_);
    set_name(*asked.mutable_item(), name);
    asked.set_offset(begin);
    asked.set_count(static_cast<std::uint32_t>(count));
    outbox_.add(fetch.peer, message.SerializeAsString());
  });
}

void SplitExchange::on_request(PeerId from, const wire::SplitRequest& request) {
  if (answer(from, request)) return;
  const auto is_same = [&](const auto& waiting) {
    return waiting.first == from && waiting.second.attempt() == request.attempt() &&
           waiting.second.offset() == request.offset() && name_of(waiting.second.item()) == name_of(request.item());
  };
  if (std::ranges::any_of(waiting_, is_same)) return;  // asked again
  const auto is_theirs = [from](const auto& waiting) { return waiting.first == from; };
  if (static_cast<std::size_t>(std::ranges::count_if(waiting_, is_theirs)) >= kRequestsKept) return;
  waiting_.emplace_back(from, request);
}

// False when it can be answered later only.
bool SplitExchange::answer(PeerId to, const wire::SplitRequest& request) {
  if (request.attempt() > attempt_) return false;
  if (request.attempt() < attempt_ || !is_under_way_) return true;  // nobody waits for that any more
  if (std::ranges::find(participants_, to) == participants_.end()) return true;
  if (outbox_.count(to) >= kAnswersQueued) return false;
  const auto published = published_.find(name_of(request.item()));
  if (published == published_.end()) return false;
  const std::span<const float> floats = published->second;
  const std::size_t begin = request.offset(), count = request.count();
  if (count > kPieceFloats || begin > floats.size() || count > floats.size() - begin) return true;
  wire::PeerMessage message;
  wire::SplitPart& part = *message.mutable_split();
  part.set_attempt(attempt_);
  part.set_pipeline(pipeline_);
  *part.mutable_item() = request.item();
  part.set_offset(begin);
  part.set_floats(floats.data() + begin, count * sizeof(float));
  outbox_.add(to, message.SerializeAsString());
  return true;
}

void SplitExchange::on_part(PeerId from, const wire::SplitPart& part) {
  if (!is_under_way_ || part.attempt() != attempt_) return;
  const Name name = name_of(part.item());
  const auto found = std::ranges::find_if(
      fetches_, [&](const auto& entry) { return entry.first == name && entry.second.peer == from; });
  if (found == fetches_.end()) return;
  found->second.pieces.take(part.offset(), part.floats());
  if (!found->second.pieces.done()) return;
  arrived_.push_back(name);
  fetches_.erase(found);
}

std::string SplitExchange::waiting_for() const {
  if (!is_under_way_ || fetches_.empty()) return "";
  const auto& [name, fetch] = fetches_.front();
  return "chunks of sample " + std::to_string(name.sample) + " from worker " + std::to_string(fetch.peer);
}

}  // namespace jigsaw
