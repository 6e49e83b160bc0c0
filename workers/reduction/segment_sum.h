// The part of an exchange that every way of carrying gradients has in common: the flat gradient is cut into one segment
// a participant, who gets everyone's partial sums of it, adds them by the slot tree, and has the segment of the result.
#pragma once

#include <cstddef>
#include <vector>

#include "rollout/models/policy_weights.h"
#include "workers/reduction/slot_sum.h"

namespace jigsaw {

struct Segment {
  std::size_t begin = 0, end = 0;  // floats of the flat gradient
  std::size_t size() const { return end - begin; }
};
// The `place`-th of `count` segments (from 0), as equal as whole cache lines allow.
Segment segment_of(std::size_t num_floats, int place, int count);

// Another participant's partial sum, of one segment.
struct SegmentPartial {
  TreeNode node;
  AlignedFloats sum;
};
// The result's segment, out of this worker's partial sums and all others'. CHECKs that they make up the whole tree.
AlignedFloats sum_segment(int num_slots, SlotSum& own, Segment segment, std::vector<SegmentPartial> others);

}  // namespace jigsaw
