// Links between two workers without encryption, and so without knowing who sends: only for measuring what CURVE costs.
#pragma once

#include <memory>
#include <utility>

#include "core/result.h"
#include "core/transport/peer_links.h"

namespace jigsaw {

// Of workers 1 and 2.
Result<std::pair<std::unique_ptr<PeerLinks>, std::unique_ptr<PeerLinks>>> open_plain_links();

}  // namespace jigsaw
