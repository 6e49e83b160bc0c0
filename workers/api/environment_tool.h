// An Environment's answers as the Tool of a pipeline.
#pragma once

#include <memory>

#include "workers/api/environment.h"
#include "workers/tools/tool.h"

namespace jigsaw {

// `environment` outlives the tool.
std::unique_ptr<Tool> make_environment_tool(const Environment& environment);

}  // namespace jigsaw
