// Where prompts come from: JSONL files and built-in procedural tasks. A prompt is a pure function of (task, seed,
// index), so a resumed or distributed run neither repeats nor loses one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "rollout/tokenizer/tokenizer.h"

namespace jigsaw {

struct Prompt {
  std::int64_t index = 0;
  std::string text{};                   // raw text; empty when `messages` is given
  std::vector<ChatMessage> messages{};  // rendered by the tokenizer's chat template
  std::string answer{};                 // what rewards compare with; may be empty
  std::string extra_json{};             // the data line's other fields, for external rewards; "{}" if none
};

// Immutable once made, and safe to share between threads.
class Task {
 public:
  virtual ~Task() = default;
  // Any index >= 0. JSONL data is walked in epochs, each shuffled by (seed, epoch) when so configured.
  virtual Prompt prompt(std::int64_t index) const = 0;
  virtual std::string name() const = 0;
  // Number of distinct prompts of a file; 0 for procedural tasks, which never end.
  virtual std::int64_t num_prompts() const = 0;
  // The characters that prompts and answers consist of, for a character tokenizer; empty: unknown (a dialogue, whose
  // template adds more, or a file of over 1000 different ones).
  virtual std::string alphabet() const = 0;
};

struct TaskConfig {
  std::string name;                            // "reverse", "sort", "addition", "countdown", ...; or "jsonl"
  std::string file;                            // jsonl
  bool shuffle = true;                         // jsonl
  std::string system_prompt;                   // put before `messages`, or turns `prompt` into a dialogue
  bool chat = false;                           // wrap `prompt` as a user message
  std::map<std::string, std::string> options;  // of the task, e.g. length_min, length_max; see task_table()
};

// The registry's table: names, and what each one's options mean. Errors list them.
struct TaskOptionInfo {
  std::string name, default_value, range, meaning;
};
struct TaskInfo {
  std::string name, summary;
  std::vector<TaskOptionInfo> options;
};
std::vector<TaskInfo> task_table();
std::vector<std::string> task_names();

// Unknown names and options, values out of range and every bad line of a file are errors that say how to mend them. A
// file is read once, here.
Result<std::unique_ptr<Task>> make_task(const TaskConfig& config, std::uint64_t seed);

}  // namespace jigsaw
