// Ctrl-C and its kin. The first SIGINT, SIGTERM or SIGUSR1 asks for an orderly end, with a checkpoint; the second ends
// at once.
#pragma once

#include <atomic>

namespace jigsaw::cli {

void catch_signals();
void ignore_signals();
const std::atomic<bool>& stop_requested();
const std::atomic<bool>& abort_requested();

}  // namespace jigsaw::cli
