// Neighbouring tokens of a completion.
#pragma once

#include <optional>
#include <span>

namespace jigsaw {

// Tokens begin .. end - 1, counted from the completion's first.
struct TokenRun {
  int begin = 0, end = 0;
  int length() const { return end - begin; }
  bool operator==(const TokenRun&) const = default;
};

// The first of `runs` that is no run of a completion of `num_tokens` tokens after the run before it.
inline std::optional<TokenRun> first_misplaced(std::span<const TokenRun> runs, int num_tokens) {
  int end = 0;
  for (const TokenRun& run : runs) {
    if (run.begin < end || run.end < run.begin || run.end > num_tokens) return run;
    end = run.end;
  }
  return std::nullopt;
}

}  // namespace jigsaw
