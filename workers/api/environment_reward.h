// An Environment's rewards as the Reward of a pipeline. A reward that is not finite, or too large, ends the run.
#pragma once

#include <memory>

#include "workers/api/environment.h"
#include "workers/rewards/reward.h"

namespace jigsaw {

// `environment` outlives the reward.
std::unique_ptr<Reward> make_environment_reward(const Environment& environment);

}  // namespace jigsaw
