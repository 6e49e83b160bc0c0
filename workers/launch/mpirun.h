// Starting mpirun for `jigsaw run --workers N`, so that a user need not.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "core/result.h"

namespace jigsaw {

// Runs `mpirun -n num_ranks <argv>` to its end and returns its exit code. While it runs, `stop` turning true asks the
// ranks to end with a checkpoint (mpirun passes SIGUSR1 on to them); `abort` turning true ends them at once. So does
// `is_over()` saying true for 10 s: mpirun would wait for ranks that hang.
Result<int> run_under_mpirun(int num_ranks, const std::vector<std::string>& argv, const std::atomic<bool>& stop,
                             const std::atomic<bool>& abort, const std::function<bool()>& is_over);

// This program's file, for argv[0].
std::string own_executable();

}  // namespace jigsaw
