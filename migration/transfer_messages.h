// What the two sides of a transfer say to each other. A transfer moves one sequence. It is named by its source and a
// number that the source never uses again; messages may be lost, repeated and come in any order.
//
//   source                               target
//     | Offer --------------------------> |   is there room?
//     | <----------------- Reserved, Gone |
//     | Chunk, Chunk, .. ---------------> |   as many as the target has credit for
//     | <------------------------- Credit |
//     | Commit -------------------------> |   from here on the source cannot take it back by itself
//     | <---------------------- Ack, Gone |   the target has it and goes on with it; or will never have it
//
// Each message may be sent again until it is answered. Abort: the source has taken its sequence back before a Commit.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "core/transport/transport.h"

namespace jigsaw {

// Ascending at its source.
enum class TransferId : std::uint64_t {};

struct TransferTerms {
  std::uint64_t to_node = 0;     // the rollout that is to take it
  std::uint32_t sample = 0;      // its index in the step
  std::uint32_t num_tokens = 0;  // prompt and completion, when it was offered; a few more may come
  std::uint32_t chunks_max = 0;  // what the target has to set memory aside for
  bool operator==(const TransferTerms&) const = default;
};

// Source to target. Where there is a `settled_below`, all transfers of lower ids are over for the source.
struct Offer {
  TransferId id{}, settled_below{};
  TransferTerms terms;
  bool operator==(const Offer&) const = default;
};
struct Chunk {
  TransferId id{};
  std::uint32_t index = 0;
  bool operator==(const Chunk&) const = default;
};
struct Commit {
  TransferId id{}, settled_below{};
  std::uint32_t num_chunks = 0;
  bool operator==(const Commit&) const = default;
};
struct Abort {
  TransferId id{}, settled_below{};
  bool operator==(const Abort&) const = default;
};
using SourceMessage = std::variant<Offer, Chunk, Commit, Abort>;

// Target to source.
struct Reserved {
  TransferId id{};
  std::uint32_t chunk_limit = 0;  // chunks below this index may be sent
  bool operator==(const Reserved&) const = default;
};
struct Credit {
  TransferId id{};
  std::uint32_t received_below = 0;  // all chunks below this index are there
  std::uint32_t chunk_limit = 0;
  bool is_commit_waiting = false;  // the Commit has come and chunks are missing: send them, and the Commit, again
  bool operator==(const Credit&) const = default;
};
struct Ack {
  TransferId id{};
  bool operator==(const Ack&) const = default;
};
struct Gone {
  TransferId id{};
  std::string reason{};  // for people
  bool operator==(const Gone&) const = default;
};
using TargetMessage = std::variant<Reserved, Credit, Ack, Gone>;

template <typename Message>
struct Addressed {
  PeerId to = 0;
  Message message;
};

}  // namespace jigsaw
