// Choice of the variant, and the threads' scratch.
#include <array>
#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "core/check.h"
#include "rollout/kernels/kernels.h"
#include "rollout/kernels/parallel.h"
#include "rollout/kernels/variant_table.h"

namespace jigsaw::kernels {
namespace {

struct Variant {
  const KernelTable* table;
  bool (*is_supported)();
};

// Best first.
const Variant kVariants[] = {
#ifdef JIGSAW_KERNELS_X86
    {&kAvx512Kernels,
     [] {
       return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
              __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
              __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
     }},
    {&kAvx2Kernels, [] { return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0; }},
#endif
    {&kPortableKernels, [] { return true; }},
};

const KernelTable* find_variant(std::string_view name) {
  for (const Variant& variant : kVariants) {
    if (name == variant.table->name && variant.is_supported()) return variant.table;
  }
  return nullptr;
}

const KernelTable* choose_at_start() {
  if (const char* forced = std::getenv("JIGSAW_KERNELS"); forced != nullptr && *forced != '\0') {
    const KernelTable* table = find_variant(forced);
    CHECK_MSG(table != nullptr, std::string("JIGSAW_KERNELS=") + forced +
                                    " is unknown or not supported by this CPU; use avx512, avx2 or portable");
    return table;
  }
  for (const Variant& variant : kVariants) {
    if (variant.is_supported()) return variant.table;
  }
  CHECK_FAILED("no kernel variant");
}

std::atomic<const KernelTable*>& current() {
  static std::atomic<const KernelTable*> table{choose_at_start()};
  return table;
}

class ScratchBuffer {
 public:
  ScratchBuffer() = default;
  ScratchBuffer(const ScratchBuffer&) = delete;
  ScratchBuffer& operator=(const ScratchBuffer&) = delete;
  ~ScratchBuffer() { release(); }

  float* get(std::size_t count) {
    if (count > count_) {
      release();
      const std::size_t rounded = (count + count / 4 + 1023) / 1024 * 1024;
      data_ = static_cast<float*>(::operator new(rounded * sizeof(float), kAlignment));
      count_ = rounded;
    }
    return data_;
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  void release() {
    ::operator delete(data_, kAlignment);
    data_ = nullptr;
    count_ = 0;
  }
  float* data_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace

const KernelTable& kernel_table() { return *current().load(std::memory_order_relaxed); }

std::string_view variant_name() { return kernel_table().name; }

bool select_variant(std::string_view name) {
  const KernelTable* table = find_variant(name);
  if (table == nullptr) return false;
  current().store(table);
  return true;
}

float* thread_scratch(std::size_t count) {
  thread_local ScratchBuffer buffer;
  return buffer.get(count);
}

}  // namespace jigsaw::kernels
