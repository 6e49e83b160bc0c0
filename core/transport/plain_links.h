// Links between two workers without encryption, and so without knowing who sends: only for measuring what CURVE costs.
#pragma once

#include <memory>
#include <utility>

#include "core/result.h"
#include "core/transport/peer_links.h"

namespace jigsaw {

// Of workers 1 and 2.
Result<std::pair<std::unique_ptr<PeerLinks>, std::unique_ptr<PeerLinks>>> open_plain_links();

// Bytes a second of a stream of such messages, which the other side only takes: what ZeroMQ can do here at most.
Result<double> measure_plain_stream(std::size_t num_bytes, std::size_t message_bytes);

}  // namespace jigsaw
