// The AVX2 variant: 16 registers hold tiles of 6 rows by 1 panel (12 of them), a panel row of B and two inputs.
#include <immintrin.h>

#include "rollout/kernels/variant_table.h"

namespace jigsaw::kernels::avx2 {
namespace {
constexpr int kRowsMax = 6;
constexpr int kTileMax = 6;
constexpr int kDepthBlock = 1024;
}  // namespace
}  // namespace jigsaw::kernels::avx2

#define JIGSAW_VARIANT avx2
#define JIGSAW_VARIANT_NAME "avx2"
#define JIGSAW_VECTOR "rollout/kernels/vector_avx2.inc"
#include "rollout/kernels/variant_body.inc"

namespace jigsaw::kernels {
const KernelTable kAvx2Kernels = avx2::kTable;
}  // namespace jigsaw::kernels
