// What might come over a pipe instead of a good line.
#pragma once

#include <random>
#include <string>

namespace jigsaw::testing {

// `line` with one to three bytes changed, or a few of them gone.
inline std::string damaged(std::string line, std::mt19937& random) {
  for (int edits = 1 + static_cast<int>(random() % 3); edits > 0; --edits) {
    const std::size_t at = random() % line.size();
    if (random() % 2 == 0) {
      line[at] = static_cast<char>(random());
    } else {
      line.erase(at, random() % 4);
    }
  }
  return line;
}

}  // namespace jigsaw::testing
