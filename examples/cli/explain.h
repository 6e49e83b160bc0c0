// Decisions of a policy as text for people.
#pragma once

#include <string>

#include "scheduler/policy.h"

namespace jigsaw::cli {

// What was started, held or reshared at `now_s`, with every option that was looked at and who waits for whom.
std::string explain(double now_s, const Plan& plan, const Decision& decision);

}  // namespace jigsaw::cli
