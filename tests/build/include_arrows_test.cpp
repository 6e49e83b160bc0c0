// Folders build on each other in one direction, and a third-party library lives in few of them. The tables below are
// the rules; a line that breaks one is reported as file:line. Whoever needs a new arrow should first ask whether the
// noun that two folders share belongs lower, or whether the call wants to be a message.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/build/source_tree.h"

namespace jigsaw {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// What each folder may include besides itself. Tests may include everything and are not looked at.
const std::map<std::string, std::set<std::string>> kBuildsOn = {
    {"core", {}},
    {"graph", {"core"}},
    {"scheduler", {"core", "graph"}},
    {"rollout", {"core"}},
    {"migration", {"core"}},
    {"workers", {"core", "graph", "rollout", "migration"}},
    {"examples", {"core", "graph", "scheduler", "rollout", "migration", "workers"}},
};

// Third-party headers, by how they begin, and the only places that include them.
const std::map<std::string, std::vector<std::string>> kLivesIn = {
    {"torch/", {"rollout/models/", "workers/trainer/"}},
    {"ATen/", {"rollout/models/", "workers/trainer/"}},
    {"c10/", {"rollout/models/", "workers/trainer/"}},
    {"mpi.h", {"workers/launch/"}},
    {"zmq", {"core/transport/"}},
    {"yaml-cpp/", {"core/config/"}},
};

std::string first_part(const std::string& path) { return path.substr(0, path.find('/')); }

std::vector<std::string> broken_arrows(const std::vector<SourceFile>& files) {
  std::vector<std::string> problems;
  for (const auto& file : files) {
    const auto from = first_part(file.path);
    for (const auto& include : file.includes) {
      const auto place = file.path + ":" + std::to_string(include.line) + ": ";
      const auto to = first_part(include.spelled);
      const bool is_ours = kBuildsOn.contains(to) || to == "tests";
      if (is_ours && to != from && !kBuildsOn.at(from).contains(to)) {
        problems.push_back(place + from + " may not build on " + to + " (" + include.spelled + ")");
      }
      if (include.is_quoted && !is_ours) {
        problems.push_back(place + "\"" + include.spelled + "\" is not spelled from the root; third-party takes <>");
      }
      for (const auto& [library, homes] : kLivesIn) {
        if (include.is_quoted || !include.spelled.starts_with(library)) continue;
        const auto is_home = [&](const std::string& home) { return file.path.starts_with(home); };
        if (std::none_of(homes.begin(), homes.end(), is_home)) {
          problems.push_back(place + "<" + include.spelled + "> is included outside " + homes.front());
        }
      }
    }
  }
  return problems;
}

TEST(IncludeArrowsTest, TheTreeKeepsTheArrows) {
  const auto files = read_sources(JIGSAW_SOURCE_DIR);
  ASSERT_GT(files.size(), 20u) << "the tree was not found";
  EXPECT_THAT(broken_arrows(files), IsEmpty());
}

TEST(IncludeArrowsTest, EveryQuotedIncludeIsThere) {
  std::vector<std::string> problems;
  for (const auto& file : read_sources(JIGSAW_SOURCE_DIR)) {
    for (const auto& include : file.includes) {
      if (!include.is_quoted || include.spelled.ends_with(".pb.h")) continue;  // those come from protoc
      if (!std::filesystem::exists(std::string(JIGSAW_SOURCE_DIR) + "/" + include.spelled)) {
        problems.push_back(file.path + ":" + std::to_string(include.line) + ": no " + include.spelled);
      }
    }
  }
  EXPECT_THAT(problems, IsEmpty());
}

TEST(IncludeArrowsTest, AnArrowAgainstTheDirectionIsFound) {
  const SourceFile file{"rollout/engine/a.h", includes_of("#pragma once\n#include \"core/check.h\"\n"
                                                          "#  include \"workers/trainer/trainer.h\"\n")};
  EXPECT_THAT(broken_arrows({file}), ElementsAre(HasSubstr("rollout/engine/a.h:3: rollout may not build on workers")));
}

TEST(IncludeArrowsTest, AStrayThirdPartyIncludeIsFound) {
  const SourceFile file{"graph/a.cpp", includes_of("#include <vector>\n#include <torch/torch.h>\n#include <mpi.h>\n")};
  EXPECT_THAT(broken_arrows({file}), ElementsAre(HasSubstr("graph/a.cpp:2"), HasSubstr("graph/a.cpp:3")));
}

TEST(IncludeArrowsTest, AnIncludeSpelledFromItsOwnFolderIsFound) {
  const SourceFile file{"core/a.cpp", includes_of("#include \"check.h\"\n")};
  EXPECT_THAT(broken_arrows({file}), ElementsAre(HasSubstr("not spelled from the root")));
}

}  // namespace
}  // namespace jigsaw
