// Random strings over an alphabet: what the string tasks are made of. Immutable; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "workers/tasks/draws.h"
#include "workers/tasks/task_options.h"

namespace jigsaw {

class RandomText {
 public:
  // Reads the options length_min, length_max and alphabet (of distinct characters).
  static Result<RandomText> create(const TaskOptions& options);

  // The characters of a string: its length is uniform in [length_min, length_max], each character uniform.
  std::vector<std::string> draw(Draws& draws) const;
  const std::vector<std::string>& alphabet() const { return alphabet_; }
  // The alphabet as one string.
  std::string characters() const;

 private:
  std::int64_t length_min_ = 0, length_max_ = 0;
  std::vector<std::string> alphabet_;
};

std::string joined(const std::vector<std::string>& characters);

// The table rows of those options.
OptionRow length_min_option(std::string_view fallback);
OptionRow length_max_option(std::string_view fallback);
OptionRow alphabet_option(std::string_view fallback);

}  // namespace jigsaw
