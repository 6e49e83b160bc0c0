// Memory that is reused from call to call and grows when a call needs more. What it held is lost then. Owned by one
// object, touched by the thread that calls it.
#pragma once

#include <cstddef>

#include "rollout/models/policy_weights.h"

namespace jigsaw {

class ScratchFloats {
 public:
  // At least `size` floats; finite whatever was there before.
  float* require(std::size_t size) {
    if (size > floats_.size()) {
      floats_ = AlignedFloats();  // freed first: the old and the new one together might not fit
      floats_ = AlignedFloats(size);
    }
    return floats_.data();
  }
  float* data() { return floats_.data(); }
  void release() { floats_ = AlignedFloats(); }

 private:
  AlignedFloats floats_;
};

}  // namespace jigsaw
