// What a procedural task makes up: an exercise and its answer. The task around it (procedural_task.h) words it as a
// prompt. Sources are immutable; any thread.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "core/result.h"
#include "workers/tasks/draws.h"
#include "workers/tasks/task_options.h"

namespace jigsaw {

struct Exercise {
  std::string input;              // put into the template: "abcde", "12+34"
  std::string answer;             // never empty
  std::string extra_json = "{}";  // for rewards that need more than the answer
};

class ExerciseSource {
 public:
  virtual ~ExerciseSource() = default;
  // A pure function of the draws.
  virtual Exercise make(Draws& draws) const = 0;
  // All characters that inputs and answers may hold.
  virtual std::string characters() const = 0;
};

// A row of the registry.
struct TaskRow {
  std::string_view name;
  std::string_view summary;
  std::span<const OptionRow> options;
  Result<std::unique_ptr<ExerciseSource>> (*make)(const TaskOptions& options);
};

// One a file, named after the task; registry.cpp lists them.
TaskRow addition_task();
TaskRow copy_task();
TaskRow count_task();
TaskRow countdown_task();
TaskRow parity_task();
TaskRow reverse_task();
TaskRow sort_task();

}  // namespace jigsaw
