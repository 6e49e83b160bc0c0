// Processes of an external command that exist in the test only: what they do with each line is the test's to say.
#pragma once

#include <deque>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "workers/commands/child_process.h"

namespace jigsaw {

// What a fake process does with a line it was sent.
struct FakeAct {
  enum Kind { kAnswer, kHang, kDie, kSay, kAnswerTwice, kAnswerUnread };
  Kind kind = kAnswer;
  int delay = 0;          // calls of advance() until then
  std::string said = "";  // kSay
};

class FakeLauncher final : public ChildLauncher {
 public:
  // Decides on the line's fate; sees the request as JSON and the pid of the process.
  std::function<FakeAct(const nlohmann::json& request, int pid)> act = [](const auto&, int) { return FakeAct{}; };
  // What a good answer says besides the id. Of a reward: num_tokens of the request, so that tests see whose it is.
  std::function<nlohmann::json(const nlohmann::json& request)> answer = [](const auto& request) {
    return nlohmann::json{{"reward", request["num_tokens"]}};
  };
  // Asked at each launch; an error is what launch() returns.
  std::function<Status()> may_launch = [] { return ok_status(); };
  int num_launched = 0, num_alive = 0;

  Result<std::unique_ptr<ChildProcess>> launch() override;
};

class FakeChild final : public ChildProcess {
 public:
  FakeChild(FakeLauncher& launcher, int pid) : launcher_(launcher), pid_(pid) { ++launcher_.num_alive; }
  ~FakeChild() override { --launcher_.num_alive; }

  void send(std::string_view line) override {
    request_ = nlohmann::json::parse(line);
    act_ = launcher_.act(request_, pid_);
  }
  void advance() override {
    if (!act_ || act_->delay-- > 0) return;
    nlohmann::json answer = launcher_.answer(request_);
    answer["id"] = request_["id"];
    switch (act_->kind) {
      case FakeAct::kHang: return;
      case FakeAct::kDie: failure_ = "exited with status 3"; break;
      case FakeAct::kSay: lines_.push_back(act_->said); break;
      case FakeAct::kAnswerTwice: lines_.push_back(answer.dump()); [[fallthrough]];
      case FakeAct::kAnswerUnread:
      case FakeAct::kAnswer: lines_.push_back(answer.dump()); break;
    }
    has_read_all_ = act_->kind != FakeAct::kAnswerUnread;
    act_.reset();
  }
  std::optional<std::string> read_line() override {
    if (lines_.empty()) return std::nullopt;
    std::string line = lines_.front();
    lines_.pop_front();
    return line;
  }
  std::optional<std::string> failure() const override { return failure_; }
  bool has_read_all() const override { return has_read_all_; }
  std::string stderr_tail() const override { return "panic!"; }
  int pid() const override { return pid_; }
  void add_wakeups(Wakeups& wakeups) const override { wakeups.sleep_at_most(std::chrono::milliseconds(0)); }

 private:
  FakeLauncher& launcher_;
  int pid_;
  nlohmann::json request_;
  std::optional<FakeAct> act_;
  std::deque<std::string> lines_;
  std::optional<std::string> failure_;
  bool has_read_all_ = true;
};

inline Result<std::unique_ptr<ChildProcess>> FakeLauncher::launch() {
  JIGSAW_RETURN_IF_ERROR(may_launch());
  return std::unique_ptr<ChildProcess>(std::make_unique<FakeChild>(*this, 1000 + num_launched++));
}

}  // namespace jigsaw
