#include "examples/cli/signals.h"

#include <csignal>

namespace jigsaw::cli {
namespace {

constexpr int kStopSignals[] = {SIGINT, SIGTERM, SIGUSR1};

std::atomic<bool> stop{false}, abort_now{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // so a handler may write it

extern "C" void on_stop_signal(int signal) {
  if (!stop.exchange(true)) return;
  abort_now.store(true);
  std::signal(signal, SIG_DFL);  // a third one needs no help from us
}

}  // namespace

void catch_signals() {
  for (const int signal : kStopSignals) std::signal(signal, on_stop_signal);
}

void ignore_signals() {
  for (const int signal : kStopSignals) std::signal(signal, SIG_IGN);
}

const std::atomic<bool>& stop_requested() { return stop; }
const std::atomic<bool>& abort_requested() { return abort_now; }

}  // namespace jigsaw::cli
