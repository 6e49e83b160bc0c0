// Runs of given tokens as messages carry them: begin, end, begin, end, ..
#pragma once

#include <google/protobuf/repeated_field.h>

#include <span>
#include <vector>

#include "rollout/models/token_run.h"

namespace jigsaw {

using WireRuns = google::protobuf::RepeatedField<std::uint32_t>;

// A last one without an end is left out. Numbers are not checked: whoever uses the runs does that.
inline std::vector<TokenRun> runs_of(const WireRuns& wire) {
  std::vector<TokenRun> runs;
  for (int i = 0; i + 1 < wire.size(); i += 2) {
    runs.push_back({static_cast<int>(wire[i]), static_cast<int>(wire[i + 1])});
  }
  return runs;
}

inline void add_runs(std::span<const TokenRun> runs, WireRuns& wire) {
  for (const TokenRun& run : runs) {
    wire.Add(static_cast<std::uint32_t>(run.begin));
    wire.Add(static_cast<std::uint32_t>(run.end));
  }
}

}  // namespace jigsaw
