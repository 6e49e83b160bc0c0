// The pool of a command reward, over fake processes and a clock that stands still.
#include "workers/rewards/command_node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/support/fake_clock.h"
#include "tests/workers/commands/fake_children.h"
#include "workers/rewards/polled_reward.h"

namespace jigsaw {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

struct PoolOptions {
  int processes = 1, retries = 1;
  milliseconds time_limit{10000}, start_time_limit{0};
  double error_value = 0;
  bool fails_the_run = false;
};

struct Pool {
  FakeClock clock;
  FakeLauncher* launcher = nullptr;  // the reward's own
  std::unique_ptr<Reward> reward;
  std::map<std::uint64_t, RewardReply> replies;
  std::string failure;

  explicit Pool(PoolOptions options) {
    RewardConfig config;
    config.type = "command";
    config.command.processes = options.processes;
    config.command.retries = options.retries;
    config.command.time_limit = options.time_limit;
    config.command.start_time_limit = options.start_time_limit;
    config.error_value = options.error_value;
    config.on_error = options.fails_the_run ? "fail" : "value";
    config.name = "judge";
    config.command.argv = {"judge", "--strict"};
    auto owned = std::make_unique<FakeLauncher>();
    launcher = owned.get();
    auto node = CommandNode::create(config, std::move(owned), clock);
    EXPECT_TRUE(node.ok());
    reward = std::make_unique<PolledReward>("judge", std::move(*node), clock);
  }

  void submit(std::uint64_t id) {
    RewardRequest request;
    request.id = id;
    request.num_tokens = static_cast<int>(100 + id);
    if (const auto status = reward->submit(std::move(request)); !status.ok()) failure = status.error().message();
  }
  void poll() {
    auto polled = reward->poll(milliseconds(0));
    if (!polled) {
      failure = polled.error().message();
      return;
    }
    for (RewardReply& reply : *polled) {
      EXPECT_TRUE(replies.emplace(reply.id, reply).second) << "request " << reply.id << " answered twice";
    }
  }
  void poll_times(int times) {
    for (int i = 0; i < times; ++i) poll();
  }
};

TEST(CommandNodeTest, EachProcessHasOneRequestAndTheRestQueue) {
  Pool pool({.processes = 2});
  int num_sent = 0;
  pool.launcher->act = [&](const auto&, int) { return ++num_sent, FakeAct{FakeAct::kAnswer, 1}; };
  for (std::uint64_t id = 1; id <= 5; ++id) pool.submit(id);
  EXPECT_EQ(num_sent, 2);
  pool.clock.advance(milliseconds(2100));
  EXPECT_EQ(pool.reward->waiting_for(),
            "reward 'judge': 2 requests at processes 1000, 1001, oldest 2.1 s of 10 s; 3 queued");
  EXPECT_EQ(pool.reward->num_outstanding(), 5u);
  pool.poll();
  EXPECT_EQ(pool.replies.size(), 0u);
  pool.poll();
  EXPECT_EQ(pool.replies.size(), 2u);
  EXPECT_EQ(num_sent, 4);
  pool.poll_times(4);
  ASSERT_EQ(pool.replies.size(), 5u);
  for (std::uint64_t id = 1; id <= 5; ++id) EXPECT_EQ(pool.replies[id].reward, 100.0 + static_cast<double>(id));
  EXPECT_EQ(pool.launcher->num_launched, 2);
  EXPECT_EQ(pool.reward->waiting_for(), "");
}

TEST(CommandNodeTest, ARequestWhoseProcessDiesIsTriedOnceMore) {
  Pool pool({});
  int num_sent = 0;
  pool.launcher->act = [&](const auto&, int) { return FakeAct{num_sent++ == 0 ? FakeAct::kDie : FakeAct::kAnswer, 0}; };
  pool.submit(7);
  pool.poll_times(2);
  ASSERT_EQ(pool.replies.count(7), 1u);
  EXPECT_EQ(pool.replies[7].reward, 107);
  EXPECT_EQ(pool.replies[7].error, "");
  EXPECT_EQ(pool.launcher->num_launched, 2);
  EXPECT_EQ(pool.launcher->num_alive, 1);
}

TEST(CommandNodeTest, ThenItCostsTheConfiguredValueWithTheReason) {
  Pool pool({.retries = 1, .error_value = -1});
  pool.launcher->act = [&](const auto&, int) { return FakeAct{FakeAct::kDie, 0}; };
  pool.submit(7);
  pool.poll_times(3);
  ASSERT_EQ(pool.replies.count(7), 1u);
  EXPECT_EQ(pool.replies[7].reward, -1);
  EXPECT_EQ(pool.replies[7].error,
            "reward 'judge' (judge --strict): request 7: process 1001 exited with status 3; stderr ends \"panic!\" "
            "(attempt 2)");
  EXPECT_EQ(pool.launcher->num_launched, 2);  // the third waits until it is needed
  EXPECT_EQ(pool.launcher->num_alive, 0);
}

TEST(CommandNodeTest, OrFailsTheRunForGood) {
  Pool pool({.processes = 2, .retries = 0, .fails_the_run = true});
  pool.launcher->act = [&](const auto&, int) { return FakeAct{FakeAct::kSay, 0, "Loading..."}; };
  pool.submit(7);
  pool.poll();
  EXPECT_EQ(pool.failure,
            "reward 'judge' (judge --strict): request 7: process 1000 answered with a line that is not JSON: "
            "\"Loading...\"; stderr ends \"panic!\"");
  pool.failure.clear();
  pool.submit(8);
  EXPECT_THAT(pool.failure, HasSubstr("Loading"));
  EXPECT_EQ(pool.reward->num_outstanding(), 0u);
}

TEST(CommandNodeTest, EveryBreachOfTheProtocolCostsTheProcess) {
  for (const FakeAct& act :
       {FakeAct{FakeAct::kSay, 0, "{}"}, FakeAct{FakeAct::kSay, 0, R"({"id":99,"reward":1})"},
        FakeAct{FakeAct::kSay, 0, R"({"id":1,"reward":NaN})"}, FakeAct{FakeAct::kAnswerUnread, 0}}) {
    Pool pool({.retries = 0});
    pool.launcher->act = [&](const auto&, int) { return act; };
    pool.submit(1);
    pool.poll();
    ASSERT_EQ(pool.replies.size(), 1u);
    EXPECT_THAT(pool.replies[1].error, HasSubstr("process 1000 answered"));
    EXPECT_EQ(pool.launcher->num_alive, 0);
  }
}

TEST(CommandNodeTest, AProcessThatSpeaksUnaskedIsReplacedAndNoRequestSuffers) {
  Pool pool({.retries = 0});
  pool.launcher->act = [&](const auto&, int) { return FakeAct{FakeAct::kAnswerTwice, 0}; };
  for (std::uint64_t id = 1; id <= 3; ++id) {
    pool.submit(id);  // hands it to a new process
    pool.poll();      // reads the first answer; the second is left
    EXPECT_EQ(pool.replies[id].error, "");
    EXPECT_EQ(pool.launcher->num_launched, static_cast<int>(id));
  }
  pool.poll();
  EXPECT_EQ(pool.launcher->num_alive, 0);
}

TEST(CommandNodeTest, AHangingProcessIsReplacedAtItsTimeLimitAndNotTriedAgain) {
  Pool pool({.time_limit = milliseconds(500), .error_value = -2});
  pool.launcher->act = [&](const auto& request, int) {
    return FakeAct{request["num_tokens"] == 101 ? FakeAct::kHang : FakeAct::kAnswer, 0};
  };
  pool.submit(1);
  pool.submit(2);
  pool.clock.advance(milliseconds(499));
  pool.poll_times(3);
  EXPECT_EQ(pool.replies.size(), 0u);
  pool.clock.advance(milliseconds(1));
  pool.poll_times(2);
  ASSERT_EQ(pool.replies.size(), 2u);
  EXPECT_EQ(pool.replies[1].reward, -2);
  EXPECT_THAT(pool.replies[1].error, AllOf(HasSubstr("no answer within the time limit of 0.5 s"), HasSubstr("1000"),
                                           Not(HasSubstr("attempt"))));
  EXPECT_EQ(pool.replies[2].reward, 102);
  EXPECT_EQ(pool.launcher->num_launched, 2);
}

TEST(CommandNodeTest, AFreshProcessGetsItsStartTimeOnTop) {
  Pool pool({.time_limit = milliseconds(500), .start_time_limit = milliseconds(2000)});
  int num_sent = 0;
  pool.launcher->act = [&](const auto&, int) {
    return FakeAct{num_sent++ == 0 ? FakeAct::kAnswer : FakeAct::kHang, 1};
  };
  pool.submit(1);
  pool.clock.advance(milliseconds(2400));
  pool.poll_times(2);
  EXPECT_EQ(pool.replies[1].error, "");
  pool.submit(2);
  pool.clock.advance(milliseconds(501));
  pool.poll();
  EXPECT_THAT(pool.replies[2].error, HasSubstr("0.5 s"));
}

TEST(CommandNodeTest, WhatTheProgramSaysItCannotJudgeCostsThatSampleOnly) {
  Pool pool({.error_value = 0.25});
  pool.launcher->act = [&](const auto& request, int) {
    return FakeAct{FakeAct::kSay, 0, "{\"id\":" + request["id"].dump() + ",\"error\":\"empty answer\"}"};
  };
  pool.submit(1);
  pool.poll();
  EXPECT_EQ(pool.replies[1].reward, 0.25);
  EXPECT_THAT(pool.replies[1].error, HasSubstr("the program says: \"empty answer\""));
  EXPECT_EQ(pool.launcher->num_launched, 1);
  EXPECT_EQ(pool.launcher->num_alive, 1);
}

TEST(CommandNodeTest, PausesGrowWithFailuresAndEndWithAGoodReply) {
  Pool pool({.retries = 0});
  bool is_broken = true;
  pool.launcher->act = [&](const auto&, int) { return FakeAct{is_broken ? FakeAct::kDie : FakeAct::kAnswer, 0}; };
  std::uint64_t id = 0;
  const auto pause_before_next_launch = [&] {
    const int num_launched = pool.launcher->num_launched;
    pool.submit(++id);
    int pause = 0;
    for (; pool.launcher->num_launched == num_launched && pause < 1000; ++pause) {
      pool.poll();
      pool.clock.advance(milliseconds(1));
    }
    pool.poll_times(2);
    EXPECT_EQ(pool.replies.count(id), 1u);
    return std::max(0, pause - 1);
  };
  pool.submit(++id);
  pool.poll();  // the first process dies
  EXPECT_EQ(pause_before_next_launch(), 0);
  EXPECT_EQ(pause_before_next_launch(), 10);
  EXPECT_EQ(pause_before_next_launch(), 20);
  EXPECT_EQ(pause_before_next_launch(), 40);
  for (int i = 0; i < 5; ++i) EXPECT_LE(pause_before_next_launch(), 200);
  EXPECT_EQ(pause_before_next_launch(), 200);
  pool.submit(99);
  EXPECT_THAT(pool.reward->waiting_for(), HasSubstr("pause after failures; 1 queued"));
  is_broken = false;
  pool.clock.advance(milliseconds(200));
  pool.poll_times(2);
  EXPECT_EQ(pool.replies[99].error, "");
  is_broken = true;
  pool.submit(100);
  pool.poll();
  EXPECT_EQ(pause_before_next_launch(), 0);
}

TEST(CommandNodeTest, AProgramThatCannotBeStartedAnyMoreCostsTheRequests) {
  Pool pool({.retries = 1});
  pool.launcher->act = [&](const auto&, int) { return FakeAct{FakeAct::kDie, 0}; };
  pool.launcher->may_launch = [] { return Status(Error(ErrorCode::kNotFound, "'judge' is gone")); };
  pool.submit(1);
  pool.submit(2);
  for (int i = 0; i < 20; ++i) {
    pool.poll();
    pool.clock.advance(milliseconds(50));
  }
  EXPECT_THAT(pool.replies[1].error, HasSubstr("'judge' is gone"));
  EXPECT_THAT(pool.replies[2].error, HasSubstr("'judge' is gone"));
}

TEST(CommandNodeTest, StartingFailsWhenAProcessCannotBeStarted) {
  FakeClock clock;
  auto launcher = std::make_unique<FakeLauncher>();
  launcher->may_launch = [] { return Status(Error(ErrorCode::kNotFound, "no such file")); };
  RewardConfig config;
  config.type = config.name = "command";
  config.command.argv = {"judge"};
  const auto node = CommandNode::create(config, std::move(launcher), clock);
  EXPECT_EQ(node.error().message(), "reward 'command' (judge): no such file");
}

// Whatever the processes do: each request is answered once, rightly or with the reason, in bounded time, after at most
// 1 + retries attempts.
TEST(CommandNodeTest, NoRequestIsLostOrAnsweredTwiceUnderRandomBehaviour) {
  for (unsigned seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const int retries = static_cast<int>(random() % 3);
    const int percent_bad = static_cast<int>(random() % 101);
    const int processes = 1 + static_cast<int>(random() % 4);
    Pool pool({.processes = processes, .retries = retries, .time_limit = milliseconds(100), .error_value = -1});
    std::map<int, int> num_attempts;  // by num_tokens
    pool.launcher->act = [&](const nlohmann::json& request, int) {
      ++num_attempts[request["num_tokens"].get<int>()];
      FakeAct act{FakeAct::kAnswer, static_cast<int>(random() % 3)};
      if (static_cast<int>(random() % 100) < percent_bad) {
        const std::string lines[] = {"", "{}", R"({"id":0,"reward":1})",
                                     "{\"id\":" + request["id"].dump() + ",\"reward\":nan}"};
        act.kind = static_cast<FakeAct::Kind>(random() % 6);
        act.said = lines[random() % 4];
      }
      return act;
    };
    pool.launcher->may_launch = [&] {
      return random() % 10 == 0 ? Status(Error(ErrorCode::kUnavailable, "fork failed")) : ok_status();
    };
    std::uint64_t id = 0;
    for (int step = 0; step < 60; ++step) {
      for (unsigned count = random() % 4; count > 0; --count) pool.submit(++id);
      pool.poll();
      pool.clock.advance(milliseconds(random() % 60));
      EXPECT_EQ(pool.reward->num_outstanding(), id - pool.replies.size());
      EXPECT_LE(pool.launcher->num_alive, 4);
    }
    for (int step = 0; step < 5000 && pool.replies.size() < id; ++step) {
      pool.poll();
      pool.clock.advance(milliseconds(50));
    }
    ASSERT_EQ(pool.failure, "");
    ASSERT_EQ(pool.replies.size(), id);
    for (const auto& [reply_id, reply] : pool.replies) {
      const int num_tokens = static_cast<int>(100 + reply_id);
      EXPECT_EQ(reply.reward, reply.error.empty() ? num_tokens : -1);
      EXPECT_LE(num_attempts[num_tokens], 1 + retries);
      if (reply.error.empty()) {
        EXPECT_GE(num_attempts[num_tokens], 1);
      }
    }
  }
}

}  // namespace
}  // namespace jigsaw
