// Neighbouring tokens of a completion.
#pragma once

namespace jigsaw {

// Tokens begin .. end - 1, counted from the completion's first.
struct TokenRun {
  int begin = 0, end = 0;
  int length() const { return end - begin; }
  bool operator==(const TokenRun&) const = default;
};

}  // namespace jigsaw
