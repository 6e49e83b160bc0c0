// A command reward over real processes: reward_child.cpp, which misbehaves on demand, and /bin/sh. Time limits run on a
// clock that the tests move; nothing here sleeps to see what happens, but for one count of subprocesses.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include "tests/support/fake_clock.h"
#include "workers/commands/piped_process.h"
#include "workers/rewards/reward.h"

namespace jigsaw {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr milliseconds kLong{20000};  // only ever reached when the test fails

RewardConfig child_config(std::vector<std::string> arguments = {}) {
  RewardConfig config;
  config.type = "command";
  config.name = "judge";
  config.command.argv = {JIGSAW_REWARD_CHILD};
  config.command.argv.insert(config.command.argv.end(), arguments.begin(), arguments.end());
  return config;
}

RewardRequest request_of(std::uint64_t id, const std::string& completion) {
  RewardRequest request;
  request.id = id;
  request.completion = completion;
  request.answer = "a";
  request.num_tokens = static_cast<int>(100 + id);
  return request;
}

std::unique_ptr<Reward> made(const RewardConfig& config, const Clock& clock = system_clock()) {
  auto reward = make_reward(config, clock);
  EXPECT_TRUE(reward.ok()) << (reward.ok() ? "" : reward.error().message());
  return reward.ok() ? std::move(*reward) : nullptr;
}

RewardReply ask(Reward& reward, std::uint64_t id, const std::string& completion) {
  EXPECT_TRUE(reward.submit(request_of(id, completion)).ok());
  auto replies = reward.poll(kLong);
  EXPECT_TRUE(replies.ok() && replies->size() == 1) << completion;
  if (!replies.ok() || replies->size() != 1) return {};
  EXPECT_EQ(replies->front().id, id);
  return replies->front();
}

// Whether the process ends within kLong, whoever its parent is.
class ProcessEnd {
 public:
  explicit ProcessEnd(int pid) : fd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0u))) { EXPECT_TRUE(fd_.is_open()); }
  bool comes() const {
    pollfd file{fd_.get(), POLLIN, 0};
    return poll(&file, 1, static_cast<int>(kLong.count())) == 1;
  }

 private:
  UniqueFd fd_;
};

TEST(CommandProcessTest, OneProcessAnswersManyRequests) {
  const auto reward = made(child_config());
  for (std::uint64_t id = 1; id <= 50; ++id) {
    const RewardReply reply = ask(*reward, id, id % 2 == 0 ? "trickle" : "hello");
    EXPECT_EQ(reply.error, "");
    EXPECT_EQ(reply.reward, 100.0 + static_cast<double>(id));
  }
}

TEST(CommandProcessTest, ManyRequestsOverSeveralProcessesAllComeBack) {
  RewardConfig config = child_config();
  config.command.processes = 3;
  const auto reward = made(config);
  std::map<std::uint64_t, double> rewards;
  for (std::uint64_t id = 0; id < 300; ++id) ASSERT_TRUE(reward->submit(request_of(id, "x")).ok());
  while (rewards.size() < 300) {
    const auto replies = reward->poll(kLong);
    ASSERT_TRUE(replies.ok());
    ASSERT_FALSE(replies->empty());
    std::uint64_t last = 0;
    for (const RewardReply& reply : *replies) {
      EXPECT_GE(reply.id, last);
      last = reply.id;
      EXPECT_TRUE(rewards.emplace(reply.id, reply.reward).second);
    }
  }
  for (const auto& [id, value] : rewards) EXPECT_EQ(value, 100.0 + static_cast<double>(id));
}

TEST(CommandProcessTest, EachBadBehaviourIsNamedAndTheNextRequestIsServed) {
  const std::map<std::string, std::string> expected = {
      {"die", "exited with status 3; stderr ends \"Traceback: division by zero\\n\""},
      {"garbage", "answered with a line that is not JSON: \"Loading model...\""},
      {"half", "exited with status 0 in the middle of the line \"{\"id\":"},
      {"long-line", "printed a line of over 1048576 bytes, which begins \"xxxx"},
      {"nan", "not JSON: \"{\"id\":"},
      {"wrong-id", "answered with another id than"},
      {"grandchild-die", "exited with status 4"},
  };
  RewardConfig config = child_config();
  config.error_value = -1;
  const auto reward = made(config);
  std::uint64_t id = 0;
  for (const auto& [how, error] : expected) {
    const RewardReply bad = ask(*reward, ++id, how);
    EXPECT_EQ(bad.reward, -1) << how;
    EXPECT_THAT(bad.error, AllOf(StartsWith("reward 'judge' (" JIGSAW_REWARD_CHILD "): request "), HasSubstr(error),
                                 HasSubstr("(attempt 2)")));
    EXPECT_EQ(ask(*reward, ++id, "hello").error, "") << "after " << how;
  }
  const RewardReply flooded = ask(*reward, ++id, "flood");
  EXPECT_THAT(flooded.error, AnyOf(HasSubstr("not JSON"), HasSubstr("more lines than")));
}

TEST(CommandProcessTest, AnAnswerBeforeTheEndCounts) {
  const auto reward = made(child_config({"once"}));
  for (std::uint64_t id = 1; id <= 5; ++id) EXPECT_EQ(ask(*reward, id, "x").error, "");
}

TEST(CommandProcessTest, TwoAnswersCostTheProcessButNoRequest) {
  RewardConfig config = child_config({"twice"});
  const auto reward = made(config);
  for (std::uint64_t id = 1; id <= 5; ++id) EXPECT_EQ(ask(*reward, id, "x").error, "");
}

TEST(CommandProcessTest, AHangingProcessIsKilledAtItsTimeLimit) {
  FakeClock clock;
  const auto reward = made(child_config(), clock);
  ASSERT_TRUE(reward->submit(request_of(1, "hang")).ok());
  const std::string waiting = reward->waiting_for();
  EXPECT_THAT(waiting, AllOf(StartsWith("reward 'judge': 1 request at process "), HasSubstr("oldest 0.0 s of 10 s")));
  const ProcessEnd end(std::stoi(waiting.substr(std::string("reward 'judge': 1 request at process ").size())));
  clock.advance(milliseconds(9999));
  EXPECT_TRUE(reward->poll(milliseconds(0))->empty());
  clock.advance(milliseconds(1));
  const auto replies = std::move(*reward->poll(milliseconds(0)));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_THAT(replies[0].error, HasSubstr("gave no answer within the time limit of 10 s"));
  EXPECT_TRUE(end.comes());
  EXPECT_EQ(ask(*reward, 2, "hello").error, "");
}

TEST(CommandProcessTest, ProcessesThatDoNotReadNeitherBlockNorEscapeTheTimeLimit) {
  for (const char* mode : {"ignore-stdin", "close-stdin", "close-stdout"}) {
    FakeClock clock;
    RewardConfig config = child_config({mode});
    config.command.retries = 0;
    const auto reward = made(config, clock);
    // Far more than a pipe holds.
    ASSERT_TRUE(reward->submit(request_of(1, std::string(4 << 20, 'x'))).ok()) << mode;
    auto replies = std::move(*reward->poll(milliseconds(0)));
    clock.advance(milliseconds(10001));
    if (replies.empty()) replies = std::move(*reward->poll(kLong));
    ASSERT_EQ(replies.size(), 1u) << mode;
    EXPECT_THAT(replies[0].error, AnyOf(HasSubstr("time limit"), HasSubstr("closed its standard input"))) << mode;
  }
}

TEST(CommandProcessTest, LargeRequestsPassThroughWholePipes) {
  const auto reward = made(child_config());
  const RewardReply reply = ask(*reward, 1, std::string(8 << 20, 'x'));
  EXPECT_EQ(reply.error, "");
  EXPECT_EQ(reply.reward, 101);
}

TEST(CommandProcessTest, AFullStderrDoesNotBlockTheProcess) {
  const auto reward = made(child_config());
  EXPECT_EQ(ask(*reward, 1, "stderr").error, "");
  EXPECT_THAT(ask(*reward, 2, "garbage").error, HasSubstr("\"Loading model...\""));
}

TEST(CommandProcessTest, AProgramThatOnlyDiesCostsItsSamplesAndEndsTheRunIfSoConfigured) {
  RewardConfig config = child_config({"die-at-start"});
  const auto reward = made(config);
  for (std::uint64_t id = 1; id <= 3; ++id) {
    EXPECT_THAT(ask(*reward, id, "x").error,
                AnyOf(HasSubstr("exited with status 5"), HasSubstr("closed its standard input")));
  }
  config.on_error = "fail";
  const auto strict = made(config);
  Status status = strict->submit(request_of(1, "x"));
  if (status.ok()) {
    const auto replies = strict->poll(kLong);
    ASSERT_FALSE(replies.ok());
    status = replies.error();
  }
  EXPECT_THAT(status.error().message(), HasSubstr("reward 'judge' ("));
}

TEST(CommandProcessTest, ABannerIsReportedAsSuch) {
  RewardConfig config = child_config({"banner"});
  config.command.retries = 0;
  const auto reward = made(config);
  // The banner comes before or after the request is handed over; at some request it is seen as its answer.
  std::string error;
  for (std::uint64_t id = 1; id <= 200 && error.empty(); ++id) error = ask(*reward, id, "x").error;
  EXPECT_THAT(error, HasSubstr("\"Welcome to judge 1.0\""));
}

TEST(CommandProcessTest, ProcessesInheritNothing) {
  // A descriptor without close-on-exec, an ignored and a blocked signal, and a variable with a secret.
  const int leak = open("/dev/null", O_RDONLY);
  setenv("JIGSAW_TEST_SECRET", "x", 1);
  const auto before = signal(SIGUSR1, SIG_IGN);
  sigset_t blocked, mask_before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &blocked, &mask_before);
  const auto reward = made(child_config());
  EXPECT_THAT(ask(*reward, 1, "descriptors").error, HasSubstr("says: \"0 1 2\""));
  EXPECT_THAT(ask(*reward, 2, "environment").error, HasSubstr("says: \"PATH HOME LANG\""));
  EXPECT_THAT(ask(*reward, 3, "session").error, HasSubstr("\"own\""));
  EXPECT_THAT(ask(*reward, 4, "signals").error, HasSubstr("\"blocked: ignored:\""));
  EXPECT_THAT(ask(*reward, 5, "core").error, HasSubstr("\"none\""));
  EXPECT_THAT(ask(*reward, 6, "privileges").error, HasSubstr("\"no new ones\""));
  pthread_sigmask(SIG_SETMASK, &mask_before, nullptr);
  signal(SIGUSR1, before);
  unsetenv("JIGSAW_TEST_SECRET");
  close(leak);
}

TEST(CommandProcessTest, MemoryIsLimited) {
  RewardConfig config = child_config();
  EXPECT_THAT(ask(*made(config), 1, "memory").error, HasSubstr("granted"));
  config.command.memory_bytes_max = std::size_t{512} << 20;
  EXPECT_THAT(ask(*made(config), 1, "memory").error, HasSubstr("refused"));
}

TEST(CommandProcessTest, VariablesThatAreNamedArePassedOn) {
  setenv("JIGSAW_TEST_NAMED", "x", 1);
  RewardConfig config = child_config();
  config.command.environment = {"JIGSAW_TEST_NAMED", "JIGSAW_TEST_UNSET"};
  EXPECT_THAT(ask(*made(config), 1, "environment").error, HasSubstr("says: \"PATH HOME LANG JIGSAW_TEST_NAMED\""));
  unsetenv("JIGSAW_TEST_NAMED");
}

TEST(CommandProcessTest, FilesAreLimited) {
  RewardConfig config = child_config();
  EXPECT_THAT(ask(*made(config), 1, "write").error, HasSubstr("\"written\""));
  config.command.file_bytes_max = 1 << 20;
  EXPECT_THAT(ask(*made(config), 1, "write").error, HasSubstr("SIGXFSZ"));
}

TEST(CommandProcessTest, SubprocessesAreLimited) {
  RewardConfig config = child_config();
  config.command.subprocesses_max = 5;
  config.command.retries = 0;
  const auto reward = made(config);
  EXPECT_THAT(ask(*reward, 1, "family").error, HasSubstr("had more than 5 processes of its own (subprocesses)"));
  EXPECT_THAT(ask(*reward, 2, "fork").error, HasSubstr("\"forked\""));
}

TEST(CommandProcessTest, WithoutSubprocessesThereIsNoFork) {
  RewardConfig config = child_config();
  config.command.subprocesses_max = 0;
  EXPECT_THAT(ask(*made(config), 1, "fork").error, HasSubstr("\"refused\""));
}

TEST(CommandProcessTest, WithoutGroupsOfTheirOwnNobodyLeaves) {
  RewardConfig config = child_config();
  EXPECT_THAT(ask(*made(config), 1, "leave").error, HasSubstr("\"left\""));
  config.command.own_groups = false;
  EXPECT_THAT(ask(*made(config), 1, "leave").error, HasSubstr("\"refused\""));
}

TEST(CommandProcessTest, GrandchildrenEndWithTheProcess) {
  for (const char* how : {"grandchild", "stray"}) {
    auto reward = made(child_config());
    const ProcessEnd end(static_cast<int>(ask(*reward, 1, how).reward));
    reward.reset();
    EXPECT_TRUE(end.comes()) << how;
  }
}

// Whoever has a session of its own is no longer found once its parents are gone: it must have been seen before.
TEST(CommandProcessTest, AStrayEndsWithAProcessThatEndsByItself) {
  RewardConfig config = child_config();
  config.command.retries = 0;
  auto reward = made(config);
  const ProcessEnd end(static_cast<int>(ask(*reward, 1, "stray-die").reward));
  std::this_thread::sleep_for(2 * PipedLauncher::kCountEvery);  // until it is time to count again
  EXPECT_THAT(ask(*reward, 2, "x").error, HasSubstr("exited with status 6"));
  reward.reset();
  EXPECT_TRUE(end.comes());
}

TEST(CommandProcessTest, ADyingWorkerTakesItsProcessesAlong) {
  auto host = spawn_process({.program = JIGSAW_REWARD_HOST,
                             .argv = {JIGSAW_REWARD_HOST, JIGSAW_REWARD_CHILD},
                             .limits = {.subprocesses_max = 8}});
  ASSERT_TRUE(host.ok());
  std::string line;
  while (line.find('\n') == std::string::npos) {
    pollfd file{host->from_stdout.get(), POLLIN, 0};
    ASSERT_EQ(poll(&file, 1, static_cast<int>(kLong.count())), 1);
    char buffer[256];
    const ssize_t size = read(host->from_stdout.get(), buffer, sizeof buffer);
    ASSERT_GT(size, 0);
    line.append(buffer, static_cast<std::size_t>(size));
  }
  const std::string start = "reward 'command': 1 request at process ";
  ASSERT_THAT(line, StartsWith(start));
  const ProcessEnd end(std::stoi(line.substr(start.size())));
  kill(host->pid, SIGKILL);
  EXPECT_TRUE(end.comes());
  waitpid(host->pid, nullptr, 0);
}

TEST(CommandProcessTest, EndedProcessesAreCollected) {
  RewardConfig config = child_config();
  config.command.processes = 3;
  {
    const auto reward = made(config);
    for (std::uint64_t id = 1; id <= 4; ++id) ask(*reward, id, "die");
  }
  siginfo_t info{};
  EXPECT_EQ(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(CommandProcessTest, WhatCannotBeStartedIsSaidAtOnce) {
  const auto error_of = [](std::vector<std::string> command) {
    RewardConfig config = child_config();
    config.command.argv = std::move(command);
    const auto reward = make_reward(config);
    return reward.ok() ? "no error" : reward.error().message();
  };
  EXPECT_THAT(error_of({}), HasSubstr("needs a 'command'"));
  EXPECT_THAT(error_of({""}), HasSubstr("the command is empty"));
  EXPECT_THAT(error_of({"no-such-judge"}), AllOf(HasSubstr("reward 'judge'"), HasSubstr("no such program in PATH")));
  EXPECT_THAT(error_of({"/no/such/judge"}), HasSubstr("No such file or directory"));
  EXPECT_THAT(error_of({"/etc/passwd"}), HasSubstr("not an executable file"));
  EXPECT_THAT(error_of({"/tmp/"}), HasSubstr("not an executable file"));

  const auto folder = std::filesystem::temp_directory_path() / ("jigsaw-command-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  const auto script_of = [&](const std::string& text) {
    const auto path = folder / "script";
    std::ofstream(path) << text;
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path.string();
  };
  EXPECT_THAT(error_of({script_of("echo hello\n")}), HasSubstr("needs a #! line"));
  EXPECT_THAT(error_of({script_of("#!/no/such/python\n")}), HasSubstr("is the program that its #! line names there?"));
  std::filesystem::remove_all(folder);
}

TEST(CommandProcessTest, LimitsOfTheConfigAreChecked) {
  const auto error_of = [](auto change) {
    RewardConfig config = child_config();
    change(config);
    return make_reward(config).error().message();
  };
  EXPECT_THAT(error_of([](RewardConfig& c) { c.command.processes = 0; }),
              HasSubstr("processes is 0, but must be from 1 to 256"));
  EXPECT_THAT(error_of([](RewardConfig& c) { c.command.time_limit = milliseconds(0); }), HasSubstr("time_limit"));
  EXPECT_THAT(error_of([](RewardConfig& c) { c.command.start_time_limit = milliseconds(-1); }),
              HasSubstr("start_time_limit"));
  EXPECT_THAT(error_of([](RewardConfig& c) { c.command.retries = -1; }), HasSubstr("retries"));
  EXPECT_THAT(error_of([](RewardConfig& c) { c.command.subprocesses_max = -1; }), HasSubstr("subprocesses"));
  EXPECT_THAT(error_of([](RewardConfig& c) { c.command.environment = {"A=b"}; }),
              HasSubstr("'A=b' is no name of a variable"));
}

TEST(CommandProcessTest, PollKeepsToItsWait) {
  const auto reward = made(child_config());
  ASSERT_TRUE(reward->submit(request_of(1, "hang")).ok());
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(reward->poll(milliseconds(30))->empty());
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took, milliseconds(30));
  EXPECT_LT(took, milliseconds(5000));
}

TEST(CommandProcessTest, AClosedPipeSendsThisProcessNoSignal) {
  const auto launcher =
      std::move(*PipedLauncher::create({.program = {}, .argv = {JIGSAW_REWARD_CHILD, "close-stdin"}}));
  const auto child = std::move(*launcher->launch());
  // Ends by an error of write(2), or by this process dying of SIGPIPE. Until then the lines pile up in the pipe.
  for (int i = 0; i < 100000 && !child->failure(); ++i) child->send(std::string(100, 'x'));
  EXPECT_EQ(child->failure(), "closed its standard input");
}

TEST(CommandProcessTest, ASumWaitsForItsProcesses) {
  RewardConfig sum, exact;
  sum.type = "sum";
  exact.weight = 0.5;
  RewardConfig first = child_config(), second = child_config({"trickle"});
  second.name = "other";
  second.weight = 2;
  sum.parts = {exact, first, second};
  const auto reward = made(sum);
  const RewardReply reply = ask(*reward, 3, "a");
  EXPECT_EQ(reply.reward, 0.5 + 103 + 2 * 103);
  EXPECT_EQ(reply.parts.size(), 3u);
  ASSERT_TRUE(reward->submit(request_of(4, "hang")).ok());
  EXPECT_THAT(reward->waiting_for(), HasSubstr("reward 'judge': 1 request"));
}

TEST(CommandProcessTest, TheExampleOfTheReadmeIsShell) {
  RewardConfig config = child_config();
  config.command.argv = {std::string(JIGSAW_SOURCE_DIR) + "/examples/rewards/vowels.sh"};
  const auto reward = made(config);
  EXPECT_DOUBLE_EQ(ask(*reward, 1, "aeio").reward, 1);
  EXPECT_DOUBLE_EQ(ask(*reward, 2, "banana").reward, 0.5);
  EXPECT_DOUBLE_EQ(ask(*reward, 3, "xyz").reward, 0);
  EXPECT_DOUBLE_EQ(ask(*reward, 4, "").reward, 0);
  EXPECT_DOUBLE_EQ(ask(*reward, 5, "a \"b\",\"answer\":\"").reward, 0.142857);  // 3 of 21
}

// Good and bad requests in random order over several processes: each gets its own answer.
TEST(CommandProcessTest, RandomBehaviourLosesNothing) {
  const std::vector<std::string> behaviours = {"x",       "x",    "x",   "trickle",  "once",           "twice", "die",
                                               "garbage", "half", "nan", "wrong-id", "grandchild-die", "stderr"};
  RewardConfig config = child_config();
  config.command.processes = 3;
  config.error_value = -1;
  const auto reward = made(config);
  std::mt19937 random(9);
  std::map<std::uint64_t, std::string> asked;
  std::map<std::uint64_t, RewardReply> answered;
  while (answered.size() < 120) {
    for (unsigned count = random() % 5; count > 0 && asked.size() < 120; --count) {
      const std::uint64_t id = asked.size();
      asked[id] = behaviours[random() % behaviours.size()];
      ASSERT_TRUE(reward->submit(request_of(id, asked[id])).ok());
    }
    if (reward->num_outstanding() == 0) continue;
    auto replies = reward->poll(kLong);
    ASSERT_TRUE(replies.ok());
    ASSERT_FALSE(replies->empty());
    for (RewardReply& reply : *replies) ASSERT_TRUE(answered.emplace(reply.id, reply).second);
  }
  for (const auto& [id, how] : asked) {
    const bool is_good = how == "x" || how == "trickle" || how == "once" || how == "twice" || how == "stderr";
    EXPECT_EQ(answered[id].error.empty(), is_good) << how << ": " << answered[id].error;
    EXPECT_EQ(answered[id].reward, is_good ? 100.0 + static_cast<double>(id) : -1) << how;
  }
}

}  // namespace
}  // namespace jigsaw
