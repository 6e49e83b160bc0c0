// What a completion is worth. Built-in rewards answer at once; external commands are persistent processes that speak
// JSON lines, asked and polled without ever blocking the executor. Executor thread only; that thread outlives the
// reward, since the processes end with the thread that started them.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "workers/commands/command_options.h"

namespace jigsaw {

// No reward, part or weight is larger than this in size, so sums stay finite.
inline constexpr double kRewardMax = 1e100;

struct RewardRequest {
  std::uint64_t id = 0;  // unique among the outstanding ones
  // `completion` is text for people: whoever asks leaves out the end token (<eos>, <|im_end|>) and anything after it.
  std::string prompt, completion, answer, extra_json;
  int num_tokens = 0;             // of the completion
  bool truncated = false;         // it ended by length, not by stop
  std::int64_t prompt_index = 0;  // of the task
};

struct RewardReply {
  std::uint64_t id = 0;
  double reward = 0;                                  // finite, see kRewardMax
  std::vector<std::pair<std::string, double>> parts;  // unweighted values of a sum, by name
  std::string error;                                  // not empty: the configured value was taken instead, and why
};

class Reward {
 public:
  virtual ~Reward() = default;
  // An error is a failure of the run (on_error: fail): it names reward, command and cause. After one, every later call
  // returns it again. Refused as well: an id that is outstanding, and more than 65536 requests at a time.
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
  std::string name;                        // in metrics; default: the type
  double weight = 1.0;                     // within a sum
  std::string pattern;                     // regex_match, format
  std::string extract;                     // matches, countdown: what to look at, group 1 of this pattern's last match
  int length_target = 0, length_max = 0;   // length
  bool ignore_case = false, strip = true;  // matches
  double partial_credit = 0.1;             // countdown: a sound expression that misses the target
  bool use_all = false;                    // countdown: every number must be used
  std::vector<RewardConfig> parts;         // sum
  CommandOptions command;                  // command
  // all: what to do when a completion cannot be judged
  std::string on_error = "value";  // "value": the sample gets error_value; "fail": the run ends
  double error_value = 0;
};

// The registry's table.
struct RewardTypeInfo {
  std::string type, summary;
  std::vector<std::string>
      fields;  // that it uses, as a job file calls them; besides type, name, weight, on_error, error_value
};
std::vector<RewardTypeInfo> reward_table();
std::vector<std::string> reward_types();

// Checks everything that can be checked beforehand, and starts the processes of commands. `clock` (for time limits)
// outlives the reward.
Result<std::unique_ptr<Reward>> make_reward(const RewardConfig& config, const Clock& clock = system_clock());

}  // namespace jigsaw
