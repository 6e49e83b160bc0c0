#include "scheduler/members.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace jigsaw {
namespace {

// A process that waits until it is killed.
class Child {
 public:
  Child() : pid_(::fork()) {
    if (pid_ == 0) {
      while (true) ::pause();
    }
  }
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  int pid() const { return pid_; }
  void stop() const {
    ::kill(pid_, SIGSTOP);
    int status = 0;
    ASSERT_EQ(::waitpid(pid_, &status, WUNTRACED), pid_);
    ASSERT_TRUE(WIFSTOPPED(status));
  }
  void go_on() const {
    ::kill(pid_, SIGCONT);
    int status = 0;
    ASSERT_EQ(::waitpid(pid_, &status, WCONTINUED), pid_);
  }

 private:
  int pid_;
};

// It may load models for as long as it takes, and says nothing meanwhile.
TEST(MembersTest, AWorkerThatIsStoppedWhileItLoadsIsGivenUp) {
  const Child child;
  wire::Hello hello;
  hello.set_worker(1);
  hello.set_process(child.pid());
  hello.set_machine(machine_name());
  Members members(1);
  members.on_hello(1, hello);
  const Clock::TimePoint soon = members.at(1).last_heard + std::chrono::seconds(1), late = soon + std::chrono::hours(1);
  const auto reason = [&](Clock::TimePoint now) { return members.reason_to_give_up(1, now, std::chrono::seconds(5)); };
  EXPECT_EQ(reason(late), "");
  child.stop();
  EXPECT_EQ(reason(soon), "") << "it may be continued in time";
  EXPECT_EQ(reason(late), "its process is stopped");
  child.go_on();
  EXPECT_EQ(reason(late), "");
  members.at(1).ready = true;
  EXPECT_EQ(reason(late), "it has been silent for 3601 s (worker_timeout_s)");
}

TEST(MembersTest, AWorkerWhoseProcessHasEndedIsGivenUpAtOnce) {
  Members members(1);
  wire::Hello hello;
  hello.set_worker(1);
  hello.set_machine(machine_name());
  {
    const Child child;
    hello.set_process(child.pid());
    members.on_hello(1, hello);
    EXPECT_EQ(members.reason_to_give_up(1, {}, std::chrono::seconds(5)), "");
  }
  EXPECT_EQ(members.reason_to_give_up(1, {}, std::chrono::seconds(5)), "its process has ended");
}

}  // namespace
}  // namespace jigsaw
