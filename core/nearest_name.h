// Suggestions for mistyped names: in keys, options, algorithm names and so on.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace jigsaw {

// The candidate with the smallest edit distance, or "" when none is close (more than a third of the letters differ).
std::string nearest_name(std::string_view name, std::span<const std::string> candidates);

// "unknown <what> 'lamda'; did you mean 'lambda'? Known: a, b, lambda"
std::string unknown_name_message(std::string_view what, std::string_view name, std::span<const std::string> candidates);

}  // namespace jigsaw
