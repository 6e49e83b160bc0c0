// A regular expression (PCRE2 syntax, UTF-8, Unicode classes) with bounded effort. Immutable once made; any thread.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "core/result.h"

namespace jigsaw {

class SearchPattern {
 public:
  struct Options {
    bool ignore_case = false;
    bool whole = false;  // the text must match from end to end
  };

  // A bad pattern's error shows the place.
  static Result<SearchPattern> create(std::string_view pattern, Options options);
  ~SearchPattern();
  SearchPattern(SearchPattern&&) noexcept;
  SearchPattern& operator=(SearchPattern&&) noexcept;

  // Any bytes are accepted; those that are not UTF-8 match nothing. Fails when the search takes too many steps.
  Result<bool> found_in(std::string_view text) const;
  // Group 1 of the last match (the whole match if the pattern has no groups); empty if there is none.
  Result<std::optional<std::string_view>> last_capture(std::string_view text) const;

 private:
  struct Compiled;
  explicit SearchPattern(std::unique_ptr<Compiled> compiled);
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace jigsaw
