#include "workers/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "tests/support/fake_clock.h"

namespace jigsaw {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

// Quanta of a given length, each noted in a shared log.
class ScriptedStage : public SubStage {
 public:
  ScriptedStage(char name, int quanta, milliseconds length, FakeClock& clock, std::string& log)
      : name_(name), quanta_(quanta), length_(length), clock_(clock), log_(log) {}
  Status poll() override { return ok_status(); }
  bool runnable() const override { return !done() && !blocked; }
  Status run_quantum(Lane&) override {
    clock_.advance(length_);
    log_ += name_;
    --quanta_;
    return ok_status();
  }
  bool done() const override { return quanta_ == 0; }
  bool cancel() override {
    quanta_ = 0;
    return true;
  }
  void fill(wire::NodeDone&) override {}
  std::string waiting_for() const override { return blocked ? std::string(1, name_) : ""; }

  bool blocked = false;

 private:
  char name_;
  int quanta_;
  milliseconds length_;
  FakeClock& clock_;
  std::string& log_;
};

class ExecutorTest : public testing::Test {
 protected:
  ScriptedStage* start(std::uint64_t node, char name, int quanta, milliseconds length, double share = 1,
                       double quantum_s = 0) {
    auto stage = std::make_unique<ScriptedStage>(name, quanta, length, clock, log);
    ScriptedStage* raw = stage.get();
    executor.start(node, static_cast<int>(node), share, std::move(stage), quantum_s);
    return raw;
  }
  void run(int quanta) {
    for (int i = 0; i < quanta; ++i) ASSERT_TRUE(executor.step().ok());
  }
  FakeClock clock;
  std::string log;
  Executor executor{1, clock};
};

TEST_F(ExecutorTest, TimeIsSharedAndNotQuanta) {
  start(1, 'a', 100, milliseconds(10));
  start(2, 'b', 100, milliseconds(30));
  run(8);
  EXPECT_EQ(std::count(log.begin(), log.end(), 'a'), 6);
  EXPECT_EQ(std::count(log.begin(), log.end(), 'b'), 2);
}

TEST_F(ExecutorTest, SharesWeighTheTime) {
  start(1, 'a', 100, milliseconds(10), 3);
  start(2, 'b', 100, milliseconds(10), 1);
  run(40);
  EXPECT_NEAR(static_cast<double>(std::count(log.begin(), log.end(), 'a')), 30, 1);
}

TEST_F(ExecutorTest, ANewcomerStartsLevel) {
  start(1, 'a', 100, milliseconds(10));
  run(20);
  start(2, 'b', 100, milliseconds(10));
  log.clear();
  run(10);
  EXPECT_EQ(std::count(log.begin(), log.end(), 'b'), 5);
}

// Nobody can interrupt it: with a twentieth of the time its turn comes after all of the other's quanta.
TEST_F(ExecutorTest, ANewcomerThatIsKnownForLongQuantaComesInItsTurn) {
  start(1, 'a', 20, milliseconds(10));
  run(1);
  start(2, 'b', 1, milliseconds(50), 0.05, 0.05);
  run(20);
  EXPECT_EQ(log, std::string(20, 'a') + "b");
}

TEST_F(ExecutorTest, WaitingSavesNothingUp) {
  ScriptedStage* a = start(1, 'a', 100, milliseconds(10));
  start(2, 'b', 100, milliseconds(10));
  a->blocked = true;
  run(20);
  EXPECT_EQ(executor.waiting_for(), "a");
  a->blocked = false;
  log.clear();
  run(10);
  EXPECT_NEAR(static_cast<double>(std::count(log.begin(), log.end(), 'a')), 5, 1);
}

TEST_F(ExecutorTest, NothingRunnableSaysSo) {
  start(1, 'a', 1, milliseconds(1))->blocked = true;
  const auto ran = executor.step();
  ASSERT_TRUE(ran.ok());
  EXPECT_FALSE(*ran);
}

TEST_F(ExecutorTest, ANewShareWeighsTheTimeFromThenOn) {
  start(1, 'a', 100, milliseconds(10));
  start(2, 'b', 100, milliseconds(10));
  run(20);
  executor.reshare(1, 3);
  executor.reshare(77, 9);  // ended meanwhile
  log.clear();
  run(40);
  EXPECT_NEAR(static_cast<double>(std::count(log.begin(), log.end(), 'a')), 30, 1);
}

TEST_F(ExecutorTest, DoneAndCancelledOnesAreTakenInOrder) {
  start(2, 'b', 5, milliseconds(1));
  start(1, 'a', 1, milliseconds(1));
  executor.cancel(2);
  run(1);
  std::vector<std::pair<std::uint64_t, bool>> done;
  for (const auto& entry : executor.take_done()) done.emplace_back(entry.node, entry.cancelled);
  EXPECT_THAT(done, ElementsAre(std::pair{std::uint64_t{1}, false}, std::pair{std::uint64_t{2}, true}));
  EXPECT_TRUE(executor.empty());
}

}  // namespace
}  // namespace jigsaw
