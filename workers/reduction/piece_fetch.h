// Floats that are fetched from a peer piece by piece: which pieces were asked for, and which have come. Links may lose
// messages, so what is not answered is asked for again. Executor thread only.
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "core/clock.h"

namespace jigsaw {

static_assert(std::endian::native == std::endian::little, "floats travel as they lie in memory");

class PieceFetch {
 public:
  static constexpr std::size_t kPieceFloats = std::size_t{1} << 18;
  static constexpr std::chrono::milliseconds kAskAgainAfter{2000};

  // `to` outlives it.
  explicit PieceFetch(std::span<float> to) : to_(to), arrived_((to.size() + kPieceFloats - 1) / kPieceFloats) {}

  bool done() const { return num_arrived_ == arrived_.size(); }
  std::size_t num_under_way() const { return asked_.size(); }

  // Calls request(begin, count), in floats of `to`, for what was asked kAskAgainAfter ago, and for further pieces until
  // `under_way`, which counts them, is `under_way_max`.
  template <typename Request>
  void ask(Clock::TimePoint now, std::size_t under_way_max, std::size_t& under_way, const Request& request) {
    for (auto& [piece, since] : asked_) {
      if (now - since <= kAskAgainAfter) continue;
      request(piece * kPieceFloats, size_of(piece));
      since = now;
    }
    for (; next_ < arrived_.size() && under_way < under_way_max; ++under_way, ++next_) {
      request(next_ * kPieceFloats, size_of(next_));
      asked_[next_] = now;
    }
  }

  // What a peer sent of `to` from `begin` on. Whatever is no whole piece that is still missing is dropped.
  void take(std::size_t begin, std::string_view bytes) {
    const std::size_t piece = begin / kPieceFloats;
    if (begin % kPieceFloats != 0 || piece >= arrived_.size() || arrived_[piece]) return;
    if (bytes.size() != size_of(piece) * sizeof(float)) return;
    std::memcpy(to_.data() + begin, bytes.data(), bytes.size());
    arrived_[piece] = true;
    asked_.erase(piece);
    ++num_arrived_;
  }

 private:
  std::size_t size_of(std::size_t piece) const { return std::min(kPieceFloats, to_.size() - piece * kPieceFloats); }

  std::span<float> to_;
  std::vector<bool> arrived_;                      // by piece
  std::map<std::size_t, Clock::TimePoint> asked_;  // pieces under way
  std::size_t next_ = 0, num_arrived_ = 0;
};

}  // namespace jigsaw
