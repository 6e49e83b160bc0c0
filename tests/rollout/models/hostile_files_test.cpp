// Files cut short and files with random bits flipped: an error or a model, but never a crash (run under the
// sanitizers).
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <memory>
#include <string>

#include "core/philox.h"
#include "rollout/models/model_files.h"
#include "tests/rollout/models/model_file_testing.h"

namespace jigsaw {
namespace {

using testing::read_bytes;
using testing::TemporaryFolder;
using testing::write_bytes;

// As small as a model gets, since it is loaded thousands of times.
std::unique_ptr<PolicyWeights> smallest_model() {
  ModelConfig config = testing::tiny_config("llama", true);
  config.hidden_size = 2;
  config.intermediate_size = 1;
  config.num_layers = 1;
  config.num_heads = 1;
  config.num_kv_heads = 1;
  config.head_dim = 2;
  config.vocab_size = 3;
  return std::make_unique<PolicyWeights>(config);
}

TEST(HostileFilesTest, EveryTruncationOfASafetensorsFileIsAnError) {
  TemporaryFolder folder;
  ASSERT_TRUE(save_hf_model(*smallest_model(), folder.path()));
  const auto path = folder.path() / "model.safetensors";
  ASSERT_TRUE(load_model(folder.path()));
  for (auto size = std::filesystem::file_size(path); size-- > 0;) {
    std::filesystem::resize_file(path, size);
    ASSERT_FALSE(load_model(folder.path())) << size;
  }
}

TEST(HostileFilesTest, EveryTruncationOfAGgufFileIsAnError) {
  TemporaryFolder folder;
  const auto path = folder.path() / "m.gguf";
  write_bytes(path, testing::smallest_gguf().bytes());
  ASSERT_TRUE(load_model(path));
  for (auto size = std::filesystem::file_size(path); size-- > 0;) {
    std::filesystem::resize_file(path, size);
    ASSERT_FALSE(load_model(path)) << size;
  }
}

TEST(HostileFilesTest, EveryTruncationOfAConfigIsAnError) {
  TemporaryFolder folder;
  ASSERT_TRUE(save_hf_model(*testing::tiny_model("qwen3", true), folder.path()));
  const auto path = folder.path() / "config.json";
  for (auto size = std::filesystem::file_size(path) - 1; size-- > 0;) {  // the last byte is a line end
    std::filesystem::resize_file(path, size);
    ASSERT_FALSE(load_model(folder.path())) << size;
  }
}

// Of a file that has as many bytes. Truncating it first would cost a flush to disk, thousands of times.
void overwrite(const std::filesystem::path& path, const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.good());
}

// Loads `bytes` with one to three random bits flipped within the first `num_bytes`. What still loads must be no larger
// than the file can account for.
void flip_and_load(const std::string& bytes, std::size_t num_bytes, const std::filesystem::path& file,
                   const std::filesystem::path& model, std::uint64_t seed) {
  int num_errors = 0;
  for (std::uint64_t round = 0; round < 5000; ++round) {
    std::string flipped = bytes;
    const std::uint64_t num_flips = 1 + philox_key(seed, round, 0) % 3;
    for (std::uint64_t i = 1; i <= num_flips; ++i) {
      const std::uint64_t bit = philox_key(seed, round, i) % (num_bytes * 8);
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    }
    overwrite(file, flipped);
    const auto loaded = load_model(model);
    if (!loaded) {
      ++num_errors;
      EXPECT_NE(loaded.error().message().find(model.string()), std::string::npos) << loaded.error().message();
      EXPECT_LT(loaded.error().message().size(), 4000u);
    } else {
      // 16 rows of padding a row at worst, and at least half a byte a number.
      ASSERT_LE((*loaded)->floats().size(), bytes.size() * 2 * 16) << round;
    }
  }
  EXPECT_GT(num_errors, 1500);  // most flips in a header do harm
}

TEST(HostileFilesTest, FlippedBitsOfAGgufFile) {
  TemporaryFolder folder;
  const std::string bytes = testing::smallest_gguf().bytes();
  write_bytes(folder.path() / "m.gguf", bytes);
  flip_and_load(bytes, bytes.size() - 400, folder.path() / "m.gguf", folder.path() / "m.gguf", 11);
}

TEST(HostileFilesTest, FlippedBitsOfAGgufFileWithEveryKindOfValue) {
  TemporaryFolder folder;
  const std::string bytes = read_bytes(testing::golden_file("llama_mixed.gguf"));
  write_bytes(folder.path() / "m.gguf", bytes);
  flip_and_load(bytes, bytes.find("output_norm.weight"), folder.path() / "m.gguf", folder.path() / "m.gguf", 14);
}

TEST(HostileFilesTest, FlippedBitsOfASafetensorsHeader) {
  TemporaryFolder folder;
  ASSERT_TRUE(save_hf_model(*smallest_model(), folder.path()));
  const auto path = folder.path() / "model.safetensors";
  const std::string bytes = read_bytes(path);
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
  flip_and_load(bytes, 8 + header_bytes, path, folder.path(), 12);
}

TEST(HostileFilesTest, FlippedBitsOfAConfig) {
  TemporaryFolder folder;
  ASSERT_TRUE(save_hf_model(*testing::tiny_model("qwen2", false), folder.path()));
  const std::string bytes = read_bytes(folder.path() / "config.json");
  flip_and_load(bytes, bytes.size(), folder.path() / "config.json", folder.path(), 13);
}

}  // namespace
}  // namespace jigsaw
