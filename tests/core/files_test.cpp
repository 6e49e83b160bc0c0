#include "core/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace jigsaw {
namespace {

namespace fs = std::filesystem;

class FilesTest : public testing::Test {
 protected:
  FilesTest() : folder_(fs::path(testing::TempDir()) / ("files_test_" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
  }
  ~FilesTest() override { fs::remove_all(folder_); }
  static std::string read(const fs::path& file) {
    std::ifstream stream(file);
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
  }
  fs::path folder_;
};

TEST_F(FilesTest, WritesAndReplacesWhole) {
  ASSERT_TRUE(write_file_atomically(folder_ / "a", "one").ok());
  ASSERT_TRUE(write_file_atomically(folder_ / "a", "two").ok());
  EXPECT_EQ(read(folder_ / "a"), "two");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

TEST_F(FilesTest, AFullDiskIsNamed) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  fs::create_symlink("/dev/full", folder_ / ("b.tmp-" + std::to_string(::getpid())));
  const Status status = write_file_atomically(folder_ / "b", "bytes");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_FALSE(fs::exists(folder_ / "b"));
}

TEST_F(FilesTest, PublishedFolderAppearsUnderItsName) {
  fs::create_directories(folder_ / "writing");
  ASSERT_TRUE(write_file_atomically(folder_ / "writing" / "x", "1").ok());
  ASSERT_TRUE(publish_folder(folder_ / "writing", folder_ / "done").ok());
  EXPECT_EQ(read(folder_ / "done" / "x"), "1");
  EXPECT_FALSE(fs::exists(folder_ / "writing"));
  fs::create_directories(folder_ / "writing");
  EXPECT_FALSE(publish_folder(folder_ / "writing", folder_ / "done").ok());
}

TEST_F(FilesTest, AFolderIsLockedOnce) {
  auto first = FolderLock::take(folder_);
  ASSERT_TRUE(first.ok());
  const auto second = FolderLock::take(folder_);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.error().message(), testing::HasSubstr(std::to_string(::getpid())));
  { const FolderLock moved = *std::move(first); }
  EXPECT_TRUE(FolderLock::take(folder_).ok());
}

}  // namespace
}  // namespace jigsaw
