// The AVX-512 variant: 32 registers hold tiles of 14 rows by 2 panels, their panels of B and one input.
#include <immintrin.h>

#include "rollout/kernels/variant_table.h"

namespace jigsaw::kernels::avx512 {
namespace {
constexpr int kRowsMax = 14;
constexpr int kTileMax = 28;
constexpr int kDepthBlock = 512;
}  // namespace
}  // namespace jigsaw::kernels::avx512

#define JIGSAW_VARIANT avx512
#define JIGSAW_VARIANT_NAME "avx512"
#define JIGSAW_VECTOR "rollout/kernels/vector_avx512.inc"
#include "rollout/kernels/variant_body.inc"

namespace jigsaw::kernels {
const KernelTable kAvx512Kernels = avx512::kTable;
}  // namespace jigsaw::kernels
