// Messages for peers that their links have not taken yet. Executor thread only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "core/transport/peer_links.h"

namespace jigsaw {

class LinkOutbox {
 public:
  void add(PeerId to, std::string bytes) { messages_.emplace_back(to, std::move(bytes)); }
  std::size_t count(PeerId to) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(messages_, [to](const auto& message) { return message.first == to; }));
  }
  // A link that is full keeps only its own peer's messages back. What a link does not take for another reason is
  // dropped: it is asked for again, if it is still wanted.
  void flush(PeerLinks& links) {
    std::vector<PeerId> full;
    std::erase_if(messages_, [&](auto& message) {
      auto& [to, bytes] = message;
      if (std::ranges::find(full, to) != full.end()) return false;
      const Status sent = links.try_send(to, bytes);
      if (sent.ok() || sent.error().code() != ErrorCode::kResourceExhausted) return true;
      full.push_back(to);
      return false;
    });
  }
  void clear() { messages_.clear(); }

 private:
  std::deque<std::pair<PeerId, std::string>> messages_;
};

}  // namespace jigsaw
