// tests/build/source_tree.h
// The project's own files as text, for the tests that read the tree instead of running it.
#pragma once

#include <string>
#include <vector>

namespace jigsaw {

struct Include {
  int line = 0;
  std::string spelled;     // "core/check.h" or "mpi.h", without quotes or brackets
  bool is_quoted = false;  // "..." and not <...>
};

struct SourceFile {
  std::string path;  // from the root, with forward slashes: "rollout/engine/sampler.h"
  std::vector<Include> includes;
};

// Reads the #include lines of C++ text; those inside comments are not told apart, nobody writes such.
[[nodiscard]] std::vector<Include> includes_of(const std::string& text);

// Every file below `root`/`folder` whose name ends in one of `endings`, sorted by path.
[[nodiscard]] std::vector<std::string> paths_below(const std::string& root, const std::string& folder,
                                                   const std::vector<std::string>& endings);

// The C++ sources and headers of the layered folders and of the examples, sorted by path.
[[nodiscard]] std::vector<SourceFile> read_sources(const std::string& root);

[[nodiscard]] std::string read_text(const std::string& path);

// The part of a path before its last slash; "" where there is none.
[[nodiscard]] std::string folder_of(const std::string& path);

}  // namespace jigsaw
