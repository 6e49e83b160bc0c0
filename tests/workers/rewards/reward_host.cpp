// Stands for a worker that is killed: runs a command reward, tells the process's state, and waits.
#include <unistd.h>

#include <cstdio>

#include "workers/rewards/reward.h"

int main(int, char** argv) {
  jigsaw::RewardConfig config;
  config.type = "command";
  config.command.argv = {argv[1], "hang"};
  auto reward = jigsaw::make_reward(config);
  if (!reward.ok()) return 1;
  if (!(*reward)->submit({}).ok()) return 1;
  std::printf("%s\n", (*reward)->waiting_for().c_str());
  std::fflush(stdout);
  while (true) pause();
}
