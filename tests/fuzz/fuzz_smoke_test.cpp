// Every fuzz target over its corpus, and over inputs made from it by random changes, the same in every run. It finds
// what is broken badly; libFuzzer (preset `fuzz`) finds the rest.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_targets.h"

namespace jigsaw::fuzz {

static void PrintTo(const Target& target, std::ostream* out) { *out << target.name; }  // GoogleTest finds it by name

namespace {

constexpr std::size_t kBytesMax = 65536;

std::vector<std::string> corpus_of(std::string_view target) {
  const auto folder = std::filesystem::path(JIGSAW_SOURCE_DIR) / "tests/fuzz/corpus" / target;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<std::string> inputs;
  for (const auto& file : files) {
    std::ifstream stream(file, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
  }
  return inputs;
}

class Mutator {
 public:
  Mutator(std::uint64_t seed, const std::vector<std::string>& corpus) : random_(seed), corpus_(corpus) {}

  std::string next() {
    std::string input = corpus_[below(corpus_.size())];
    for (std::size_t changes = 1 + below(4); changes > 0; --changes) change(input);
    input.resize(std::min(input.size(), kBytesMax));
    return input;
  }

 private:
  std::size_t below(std::size_t end) { return end == 0 ? 0 : random_() % end; }

  void change(std::string& input) {
    static constexpr std::array kNasty = {'\0', '\x01', '\x7f', '\x80', '\xff', '"', '{', '[', '\\', '%', '\n', '9'};
    const std::size_t at = below(input.size() + 1), count = std::min(below(32), input.size() - at);
    switch (below(7)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << below(8)));
        return;
      case 1:
        if (at < input.size()) input[at] = kNasty[below(kNasty.size())];
        return;
      case 2: input.insert(at, 1 + below(8), kNasty[below(kNasty.size())]); return;
      case 3: input.erase(at, count); return;
      case 4: input.insert(at, input.substr(below(input.size()), count)); return;
      case 5: input.resize(at); return;
      default: {
        const std::string& other = corpus_[below(corpus_.size())];
        input = input.substr(0, at) + other.substr(below(other.size() + 1));
      }
    }
  }

  std::mt19937_64 random_;
  const std::vector<std::string>& corpus_;
};

class FuzzSmokeTest : public testing::TestWithParam<Target> {};

TEST_P(FuzzSmokeTest, AnswersItsCorpusAndChangesOfIt) {
  const std::vector<std::string> corpus = corpus_of(GetParam().name);
  ASSERT_FALSE(corpus.empty());
  for (const std::string& input : corpus) GetParam().run(input);
  GetParam().run("");
  Mutator mutator(1, corpus);
  for (int i = 0; i < GetParam().smoke_mutations; ++i) GetParam().run(mutator.next());
}

INSTANTIATE_TEST_SUITE_P(Targets, FuzzSmokeTest, testing::ValuesIn(targets().begin(), targets().end()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace jigsaw::fuzz
