#include "workers/reduction/segment_sum.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace jigsaw {
namespace {

constexpr std::size_t kSegmentAlignment = 16;  // floats: a cache line

}  // namespace

Segment segment_of(std::size_t num_floats, int place, int count) {
  const std::size_t lines = (num_floats + kSegmentAlignment - 1) / kSegmentAlignment;
  const auto cut = [&](int i) {
    return std::min(num_floats,
                    lines * static_cast<std::size_t>(i) / static_cast<std::size_t>(count) * kSegmentAlignment);
  };
  return {cut(place), cut(place + 1)};
}

AlignedFloats sum_segment(int num_slots, SlotSum& own, Segment segment, std::vector<SegmentPartial> others) {
  Lane lane(1);
  SlotSum total(num_slots);
  for (SegmentPartial& other : others) total.add(lane, other.node, std::move(other.sum));
  for (const auto& [node, buffer] : own.partials()) {
    AlignedFloats part(segment.size());
    std::copy_n(buffer.data() + segment.begin, segment.size(), part.data());
    total.add(lane, node, std::move(part));
  }
  CHECK(total.partials().size() == 1);
  return std::move(total.partials().begin()->second);
}

}  // namespace jigsaw
