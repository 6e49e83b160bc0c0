// A task whose prompts are made up as they are asked for. Immutable; any thread.
#pragma once

#include <memory>

#include "workers/tasks/exercise.h"
#include "workers/tasks/task.h"

namespace jigsaw {

// The options that every procedural task has besides its own: the template, which words an exercise as a prompt.
std::vector<OptionRow> with_common_options(const TaskRow& row);

Result<std::unique_ptr<Task>> make_procedural_task(const TaskRow& row, const TaskConfig& config, std::uint64_t seed);

}  // namespace jigsaw
