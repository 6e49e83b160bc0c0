// What a completion is worth. Built-in rewards answer at once; external commands are persistent processes that speak
// JSON lines, asked and polled without ever blocking the executor. Executor thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"

namespace jigsaw {

struct RewardRequest {
  std::uint64_t id = 0;                   // unique among the outstanding ones
  std::string prompt, completion, answer, extra_json;
  int num_tokens = 0;                     // of the completion
  bool truncated = false;                 // it ended by length, not by stop
};

struct RewardReply {
  std::uint64_t id = 0;
  double reward = 0;
  std::vector<std::pair<std::string, double>> parts;   // unweighted values of a sum, by name
  std::string error;                                   // not empty: the configured value was taken instead, and why
};

class Reward {
 public:
  virtual ~Reward() = default;
  // An error is a failure of the run (on_error: fail): it names reward, command and cause.
  virtual Status submit(RewardRequest request) = 0;
  // Replies that are ready, in order of id; waits at most `wait` for the first. An error as for submit.
  virtual Result<std::vector<RewardReply>> poll(std::chrono::milliseconds wait) = 0;
  virtual std::size_t num_outstanding() const = 0;
  // What is being waited for, for stall reports: "reward 'judge': 3 requests at process 4711, oldest 2.1 s of 10 s".
  virtual std::string waiting_for() const = 0;
};

struct RewardConfig {
  // exact_match, number_match, regex_match, length, format, contains, char_match (share of right characters),
  // countdown, sum, command; see workers/rewards/README.md.
  std::string type = "exact_match";
  std::string name;                       // in metrics; default: the type
  double weight = 1.0;                    // within a sum
  std::string pattern;                    // regex_match, format
  int length_target = 0, length_max = 0;  // length
  bool ignore_case = false, strip = true; // matches
  std::vector<RewardConfig> parts;        // sum
  // command
  std::vector<std::string> command;       // argv; no shell
  int processes = 1;
  std::chrono::milliseconds time_limit{10000};
  std::string on_error = "value";         // "value": the sample gets error_value; "fail": the run ends
  double error_value = 0;
  std::size_t memory_bytes_max = std::size_t{2} << 30;   // per process (RLIMIT_AS)
};
std::vector<std::string> reward_types();
Result<std::unique_ptr<Reward>> make_reward(const RewardConfig& config);

}  // namespace jigsaw
