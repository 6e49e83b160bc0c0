#include "workers/reduction/link_exchange.h"

#include <algorithm>

#include "core/check.h"

namespace jigsaw {

LinkExchange::LinkExchange(PeerLinks& links, PeerId self, std::uint32_t pipeline, const Clock& clock)
    : links_(links), self_(self), pipeline_(pipeline), clock_(clock) {}

int LinkExchange::place_of(PeerId worker) const {
  const auto found = std::ranges::find(work_.participants, worker);
  return found == work_.participants.end() ? -1 : static_cast<int>(found - work_.participants.begin());
}

Status LinkExchange::start(ExchangeWork work, SlotSum sum, std::size_t num_floats) {
  CHECK(!is_under_way_);
  work_ = std::move(work);
  CHECK(place_of(self_) >= 0);
  own_ = std::move(sum);
  num_floats_ = num_floats;
  is_under_way_ = true;
  is_summed_ = false;
  result_ = own_.take_buffer(num_floats);
  fetches_.clear();
  received_.clear();
  const Segment segment = segment_of(num_floats_, place_of(self_), count());
  for (const PeerId peer : work_.participants) {
    if (peer == self_) continue;
    for (const TreeNode node : partial_sums(work_.owners, peer)) {
      received_.push_back({node, AlignedFloats(segment.size())});
      add_fetch(peer, /*of_result=*/false, node, segment, received_.back().sum.data());
    }
  }
  return ok_status();
}

void LinkExchange::add_fetch(PeerId peer, bool of_result, TreeNode node, Segment range, float* to) {
  fetches_.push_back(
      {.peer = peer, .of_result = of_result, .node = node, .range = range, .chunks = PieceFetch({to, range.size()})});
}

Result<std::optional<AlignedFloats>> LinkExchange::poll() {
  serve();
  if (!is_under_way_ || !std::ranges::all_of(fetches_, &Fetch::done)) return std::optional<AlignedFloats>();
  if (!is_summed_) {
    finish_segment();
    if (!fetches_.empty()) return std::optional<AlignedFloats>();
  }
  is_under_way_ = false;
  fetches_.clear();
  return std::optional<AlignedFloats>(std::move(result_));
}

void LinkExchange::finish_segment() {
  const Segment own = segment_of(num_floats_, place_of(self_), count());
  own_segment_ = sum_segment(static_cast<int>(work_.owners.size()), own_, own, std::exchange(received_, {}));
  std::copy_n(own_segment_.data(), own.size(), result_.data() + own.begin);
  is_summed_ = true;
  fetches_.clear();
  for (const PeerId peer : work_.participants) {
    if (peer == self_) continue;
    const Segment theirs = segment_of(num_floats_, place_of(peer), count());
    add_fetch(peer, /*of_result=*/true, {}, theirs, result_.data() + theirs.begin);
  }
}

void LinkExchange::serve() {
  std::erase_if(waiting_, [this](const auto& waiting) { return answer(waiting.first, waiting.second); });
  for (Fetch& fetch : fetches_) ask(fetch);
  outbox_.flush(links_);
}

void LinkExchange::ask(Fetch& fetch) {
  std::size_t under_way = fetch.chunks.num_under_way();
  fetch.chunks.ask(clock_.now(), kChunksUnderWay, under_way, [&](std::size_t begin, std::size_t count) {
    wire::PeerMessage message;
    wire::GradientRequest& asked = *message.mutable_gradient_request();
    asked.set_attempt(work_.attempt);
    asked.set_pipeline(pipeline_);
    asked.set_of_result(fetch.of_result);
    asked.set_slot(static_cast<std::uint32_t>(fetch.node.slot));
    asked.set_level(static_cast<std::uint32_t>(fetch.node.level));
    asked.set_offset(fetch.range.begin + begin);
    asked.set_count(static_cast<std::uint32_t>(count));
    outbox_.add(fetch.peer, message.SerializeAsString());
  });
}

void LinkExchange::on_request(PeerId from, const wire::GradientRequest& request) {
  if (answer(from, request)) return;
  const auto is_theirs = [from](const auto& waiting) { return waiting.first == from; };
  if (static_cast<std::size_t>(std::ranges::count_if(waiting_, is_theirs)) >= kRequestsKept) return;
  waiting_.emplace_back(from, request);
}

// False when it can be answered later only.
bool LinkExchange::answer(PeerId to, const wire::GradientRequest& request) {
  if (request.attempt() > work_.attempt) return false;
  if (request.attempt() < work_.attempt || place_of(to) < 0) return true;  // nobody waits for that any more
  if (outbox_.count(to) >= kAnswersQueued) return false;
  const float* floats = nullptr;
  Segment there;
  if (request.of_result()) {
    if (!is_summed_) return false;
    there = segment_of(num_floats_, place_of(self_), count());
    floats = own_segment_.data();
  } else {
    const TreeNode node{static_cast<int>(request.slot()), static_cast<int>(request.level())};
    const auto partial = own_.partials().find(node);
    if (partial == own_.partials().end()) return true;
    there = {0, num_floats_};
    floats = partial->second.data();
  }
  const std::size_t begin = request.offset(), count = request.count();
  if (count > kChunkFloats || begin < there.begin || begin > there.end || count > there.end - begin) return true;
  wire::PeerMessage message;
  wire::GradientPart& part = *message.mutable_gradient();
  part.set_attempt(request.attempt());
  part.set_pipeline(pipeline_);
  part.set_of_result(request.of_result());
  part.set_slot(request.slot());
  part.set_level(request.level());
  part.set_offset(begin);
  part.set_floats(floats + (begin - there.begin), count * sizeof(float));
  outbox_.add(to, message.SerializeAsString());
  return true;
}

void LinkExchange::on_part(PeerId from, const wire::GradientPart& part) {
  if (!is_under_way_ || part.attempt() != work_.attempt) return;
  const TreeNode node{static_cast<int>(part.slot()), static_cast<int>(part.level())};
  for (Fetch& fetch : fetches_) {
    if (fetch.peer != from || fetch.of_result != part.of_result()) continue;
    if (!fetch.of_result && fetch.node != node) continue;
    if (part.offset() >= fetch.range.begin) fetch.chunks.take(part.offset() - fetch.range.begin, part.floats());
    return;
  }
}

void LinkExchange::abandon() {
  is_under_way_ = false;
  fetches_.clear();
  received_.clear();
  outbox_.clear();
  waiting_.clear();
}

std::string LinkExchange::waiting_for() const {
  if (!is_under_way_) return "";
  for (const Fetch& fetch : fetches_) {
    if (fetch.done()) continue;
    return std::string(fetch.of_result ? "the summed gradient" : "gradients") + " of worker " +
           std::to_string(fetch.peer);
  }
  return "";
}

}  // namespace jigsaw
