#include "workers/profiling/quantum_rate.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "workers/executor.h"

namespace jigsaw {
namespace {

using std::chrono::milliseconds;

TEST(QuantumRateTest, CountsFromBeginToBegin) {
  FakeClock clock;
  QuantumRate rate;
  rate.begin(clock.now());
  clock.advance(milliseconds(100));
  rate.begin(clock.now());
  EXPECT_EQ(rate.per_second(), 0) << "two tell nothing yet";
  clock.advance(milliseconds(300));
  rate.begin(clock.now());
  clock.advance(milliseconds(10000));  // what comes after the last does not count
  EXPECT_EQ(rate.num_begun(), 3);
  EXPECT_NEAR(rate.per_second(), 2 / 0.4, 1e-9);
}

class MeasureRatesTest : public testing::Test {
 protected:
  std::function<Status(Lane&)> quantum_of(milliseconds length) {
    return [this, length](Lane&) {
      clock.advance(length);
      return ok_status();
    };
  }
  FakeClock clock;
  Executor executor{1, clock};  // one thread: time slices
};

TEST_F(MeasureRatesTest, AloneIsOneByOne) {
  const auto rates = measure_rates(executor, clock, quantum_of(milliseconds(10)), nullptr, 0.5, {1, 10});
  ASSERT_TRUE(rates.ok()) << rates.error().message();
  EXPECT_NEAR(rates->first, 100, 1e-6);
  EXPECT_EQ(rates->second, 0);
  EXPECT_TRUE(executor.empty());
}

// On time slices a share of 1/4 is four times as long, one of 3/4 a third longer.
TEST_F(MeasureRatesTest, TimeSlicesGiveTheShares) {
  const auto rates =
      measure_rates(executor, clock, quantum_of(milliseconds(10)), quantum_of(milliseconds(20)), 0.25, {20, 60});
  ASSERT_TRUE(rates.ok()) << rates.error().message();
  EXPECT_NEAR(100 / rates->first, 4, 0.1);
  EXPECT_NEAR(50 / rates->second, 4.0 / 3, 0.05);
  EXPECT_TRUE(executor.empty());
}

TEST_F(MeasureRatesTest, WaitsForAFewLongQuantaButNotForever) {
  const auto few = measure_rates(executor, clock, quantum_of(milliseconds(2000)), nullptr, 0.5, {0.3, 18});
  ASSERT_TRUE(few.ok());
  EXPECT_NEAR(few->first, 0.5, 1e-9);
  const auto none = measure_rates(executor, clock, quantum_of(milliseconds(20000)), nullptr, 0.5, {0.3, 18});
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->first, 0);
}

TEST_F(MeasureRatesTest, AFailureIsPassedOnAndLeavesNothingBehind) {
  const auto rates = measure_rates(executor, clock, quantum_of(milliseconds(10)),
                                   [](Lane&) -> Status { return Error(ErrorCode::kInternal, "broken"); }, 0.5, {1, 10});
  ASSERT_FALSE(rates.ok());
  EXPECT_EQ(rates.error().message(), "broken");
  EXPECT_TRUE(executor.empty());
}

}  // namespace
}  // namespace jigsaw
