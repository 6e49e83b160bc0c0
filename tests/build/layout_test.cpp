// What the top level holds, and that no source or header is left out of the build.
#include <gmock/gmock.h>

#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "tests/build/source_tree.h"

namespace jigsaw {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// Build and run output, as .gitignore has it.
bool is_ignored(const std::string& name) {
  return name == "build" || name.starts_with("build-") || name == "out" || name == "runs";
}

TEST(LayoutTest, TheTopLevelIsAsDesigned) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(JIGSAW_SOURCE_DIR)) {
    const auto name = entry.path().filename().string();
    if (!name.starts_with(".") && !is_ignored(name)) names.push_back(name);
  }
  EXPECT_THAT(names, UnorderedElementsAre("CMakeLists.txt", "core", "graph", "scheduler", "workers", "rollout",
                                          "migration", "examples", "configs", "tests", "LICENSE", "README.md",
                                          "CMakePresets.json", "bootstrap.sh"));
}

// The file names that the CMakeLists.txt of `folder` and of the folders above it write down.
std::set<std::string> names_listed_for(std::string folder) {
  static const std::regex kFileName("[A-Za-z0-9_./]+\\.(h|cpp|inc|cu|proto)");
  std::set<std::string> listed;
  for (std::string below;;) {
    const auto text = read_text(std::string(JIGSAW_SOURCE_DIR) + "/" + folder + "/CMakeLists.txt");
    for (std::sregex_iterator match(text.begin(), text.end(), kFileName), end; match != end; ++match) {
      const auto name = match->str();
      if (below.empty()) {
        listed.insert(name);
      } else if (name.starts_with(below)) {
        listed.insert(name.substr(below.size()));
      }
    }
    if (folder.find('/') == std::string::npos) return listed;
    below = folder.substr(folder.rfind('/') + 1) + "/" + below;
    folder = folder_of(folder);
  }
}

// A source that no list names is dead code; a header that no file set names is neither installed nor checked to
// compile alone.
TEST(LayoutTest, EverySourceAndHeaderIsListedInTheBuild) {
  std::vector<std::string> unlisted;
  for (const auto& file : read_sources(JIGSAW_SOURCE_DIR)) {
    if (file.path.ends_with(".inc")) continue;  // a part of the sources that include it
    if (file.path.starts_with("examples/") && file.path.ends_with(".h")) continue;  // a program has no file set
    const auto folder = folder_of(file.path);
    if (!names_listed_for(folder).contains(file.path.substr(folder.size() + 1))) unlisted.push_back(file.path);
  }
  EXPECT_THAT(unlisted, IsEmpty());
}

TEST(LayoutTest, EveryHeaderIsIncludedOnlyOnce) {
  std::vector<std::string> unguarded;
  for (const auto& file : read_sources(JIGSAW_SOURCE_DIR)) {
    if (!file.path.ends_with(".h")) continue;
    const auto text = read_text(std::string(JIGSAW_SOURCE_DIR) + "/" + file.path);
    if (text.find("\n#pragma once\n") == std::string::npos) unguarded.push_back(file.path);
  }
  EXPECT_THAT(unguarded, IsEmpty());
}

}  // namespace
}  // namespace jigsaw
