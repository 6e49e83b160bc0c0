// An Environment's prompts as the Task of a pipeline.
#pragma once

#include <memory>

#include "workers/api/environment.h"
#include "workers/tasks/task.h"

namespace jigsaw {

// `environment` outlives the task.
std::unique_ptr<Task> make_environment_task(const Environment& environment);

}  // namespace jigsaw
