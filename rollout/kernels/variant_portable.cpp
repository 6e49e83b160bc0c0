// The portable variant: plain C++, for any CPU and as the plainest statement of what the others compute.
#include "rollout/kernels/variant_table.h"

namespace jigsaw::kernels::portable {
namespace {
constexpr int kRowsMax = 4;
constexpr int kTileMax = 4;
constexpr int kDepthBlock = 512;
}  // namespace
}  // namespace jigsaw::kernels::portable

#define JIGSAW_VARIANT portable
#define JIGSAW_VARIANT_NAME "portable"
#define JIGSAW_VECTOR "rollout/kernels/vector_portable.inc"
#include "rollout/kernels/variant_body.inc"

namespace jigsaw::kernels {
const KernelTable kPortableKernels = portable::kTable;
}  // namespace jigsaw::kernels
