// While one of these lives, LibTorch computes on the calling thread alone. The losses are a few thousand elements, for
// which threads only cost; and sums over them must not depend on how many there are. Executor thread.
//
// What this is linked into also settles LibTorch's vector width as it is loaded, unless ATEN_CPU_CAPABILITY does: AVX2
// on every machine that has it, since sums of AVX-512 code have another order and the workers of one job may differ.
#pragma once

namespace jigsaw {

class SingleThreadedTorch {
 public:
  SingleThreadedTorch();
  ~SingleThreadedTorch();
  SingleThreadedTorch(const SingleThreadedTorch&) = delete;
  SingleThreadedTorch& operator=(const SingleThreadedTorch&) = delete;

 private:
  int num_threads_before_;
};

}  // namespace jigsaw
