#include "rollout/models/safetensors_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/rollout/models/model_file_testing.h"

namespace jigsaw {
namespace {

using testing::bytes_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::safetensors_bytes;
using testing::TemporaryFolder;
using testing::write_bytes;

class SafetensorsFileTest : public ::testing::Test {
 protected:
  Result<SafetensorsFile> open(const std::string& bytes) {
    write_bytes(folder_.path() / "m.safetensors", bytes);
    return SafetensorsFile::open(folder_.path() / "m.safetensors");
  }
  // Of a header over eight bytes of data.
  std::string error_of(const std::string& header) {
    auto file = open(safetensors_bytes(header, "01234567"));
    return file ? "no error" : file.error().message();
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(SafetensorsFileTest, TensorsComeInTheOrderOfTheirBytes) {
  const auto file = open(safetensors_bytes(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},)"
      R"("a":{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]},"none":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}}   )",
      "01234567"));
  ASSERT_TRUE(file) << file.error().message();
  ASSERT_EQ(file->entries().size(), 3u);
  EXPECT_EQ(file->entries()[0].name, "a");
  EXPECT_THAT(file->entries()[0].shape, ElementsAre(2, 2));
  EXPECT_EQ(file->entries()[1].name, "b");
  EXPECT_EQ(static_cast<char>(file->bytes(file->entries()[1])[0]), '4');
}

TEST_F(SafetensorsFileTest, RefusesRangesThatDoNotFillTheFile) {
  EXPECT_THAT(
      error_of(
          R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"),
      HasSubstr("tensor b does not begin where the one before it ends"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"), HasSubstr("leave a gap"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})"),
              HasSubstr("the tensors take 4 bytes, but the file holds 8"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})"), HasSubstr("take 12 bytes"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})"), HasSubstr("do not fit its shape"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})"), HasSubstr("do not fit its shape"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})"),
              HasSubstr("absurd shape"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]}})"),
              HasSubstr("absurd shape"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F4","shape":[2],"data_offsets":[0,8]}})"),
              HasSubstr("tensor a has the unknown dtype F4"));
}

TEST_F(SafetensorsFileTest, RefusesHeadersOfAnotherForm) {
  EXPECT_THAT(
      error_of(
          R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"),
      HasSubstr("tensor a stands twice"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F32","shape":[2]}})"),
              HasSubstr("tensor a lacks dtype, shape or data_offsets"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})"), HasSubstr("lacks"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4,8]}})"), HasSubstr("more than two"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})"), HasSubstr("a negative number"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})"), HasSubstr("a fraction"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}})"),
              HasSubstr("too many dimensions"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":["F32"],"shape":[2],"data_offsets":[0,8]}})"), HasSubstr("an array"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})"), HasSubstr("an array"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F32","shape":{"x":2},"data_offsets":[0,8]}})"), HasSubstr("an object"));
  EXPECT_THAT(error_of(R"({"a":null})"), HasSubstr("holds null"));
  EXPECT_THAT(error_of(R"({"__metadata__":{"a":{}}})"), HasSubstr("an object"));
  EXPECT_THAT(error_of("[]"), HasSubstr("an array"));
  EXPECT_THAT(error_of("7"), HasSubstr("a number"));
  EXPECT_THAT(error_of("{} {}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of(R"({"a")" + std::string(200, '\xFF')), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of("{\"" + std::string(5000, 'n') + R"(":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"),
              HasSubstr("absurdly long tensor name"));
  EXPECT_THAT(error_of(std::string(1 << 20, '[')), HasSubstr("an array"));
}

TEST_F(SafetensorsFileTest, RefusesHeaderLengthsBeyondTheFileOrTheFormat) {
  for (const std::uint64_t length : {std::uint64_t{9}, std::uint64_t{100'000'001}, ~std::uint64_t{0}}) {
    const auto file = open(bytes_of(length) + "{}      ");
    ASSERT_FALSE(file);
    EXPECT_THAT(file.error().message(), HasSubstr("m.safetensors: claims a header of " + std::to_string(length)));
  }
  EXPECT_THAT(open("short").error().message(), HasSubstr("too short"));
  EXPECT_THAT(SafetensorsFile::open("/dev/null").error().message(), HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace jigsaw
