// The batch file of `jigsaw loss`: one completion a line, as JSON. Bytes from outside, checked here once.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "core/result.h"
#include "workers/trainer/training_sample.h"

namespace jigsaw {

// Lines {"group","reward","prompt_tokens","tokens","old_logprobs"?,"ref_logprobs"?}; blank lines are skipped. An error
// begins with "<name>:<line>: ". At least one completion; an unknown key is an error that suggests the nearest one.
Result<std::vector<TrainingSample>> read_loss_batch(std::istream& lines, const std::string& name);

}  // namespace jigsaw
