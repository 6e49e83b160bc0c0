#include <algorithm>

#include "core/check.h"
#include "workers/reduction/gradient_exchange.h"

namespace jigsaw {
namespace {

class LocalExchange : public GradientExchange {
 public:
  Status start(std::span<const std::uint32_t>, SlotSum& sum, std::span<float> result) override {
    CHECK(sum.partials().size() == 1);
    const AlignedFloats& root = sum.partials().begin()->second;
    CHECK(root.size() == result.size());
    std::copy(root.data(), root.data() + root.size(), result.data());
    return ok_status();
  }
  Result<bool> poll() override { return true; }
  std::string waiting_for() const override { return ""; }
};

}  // namespace

std::unique_ptr<GradientExchange> make_local_exchange() { return std::make_unique<LocalExchange>(); }

}  // namespace jigsaw
