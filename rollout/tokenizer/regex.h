// A pattern of a tokenizer.json (see pattern_rewrite.h for the syntax), run by PCRE2 with its just-in-time compiler.
// Immutable once made; may be used from several threads.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace jigsaw {

class Regex {
 public:
  struct Match {
    std::size_t begin, end;
  };

  static Result<Regex> create(std::string_view pattern);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  // The matches that do not overlap, left to right, into `matches` (cleared first). `text` must be valid UTF-8. A match
  // that takes more than a bounded number of steps ends the search: the rest of the text then counts as unmatched.
  void find_all(std::string_view text, std::vector<Match>& matches) const;

 private:
  struct Compiled;
  explicit Regex(std::unique_ptr<Compiled> compiled);
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace jigsaw
