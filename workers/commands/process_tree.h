// The processes that a process has started, and those that they have: counted, and ended as a whole. Read from /proc,
// which takes some microseconds a process. A kernel without /proc/*/task/*/children (CONFIG_PROC_CHILDREN) shows none.
#pragma once

#include <sys/types.h>

#include <vector>

#include "workers/commands/unique_fd.h"

namespace jigsaw {

struct TreeProcess {
  pid_t pid = -1, parent = -1, group = -1;
  bool has_ended = false;  // and is still to be collected by its parent
};

// All below `root`, at most `count_max` of them. Processes that lost their parent are there as well when `root` is
// their reaper (PR_SET_CHILD_SUBREAPER), as spawn_process() makes it.
std::vector<TreeProcess> processes_below(pid_t root, std::size_t count_max);

// A handle on a process that stays its own when the number goes to another. Not open when it is no longer there, or no
// longer a child of that parent.
UniqueFd open_process(const TreeProcess& process);
void kill_process(const UniqueFd& handle);

// Kills `root`, the leader of its process group and a child of ours that was not collected, with its group and all that
// is below it, whatever group that is in. What is in the group cannot get away; who has left it might, by leaving its
// parents faster than they are looked at.
void kill_tree(pid_t root);

}  // namespace jigsaw
