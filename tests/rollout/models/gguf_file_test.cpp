#include "rollout/models/gguf_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/rollout/models/model_file_testing.h"

namespace jigsaw {
namespace {

using testing::bytes_of;
using ::testing::ElementsAre;
using testing::GgufBytes;
using testing::golden_file;
using ::testing::HasSubstr;
using testing::TemporaryFolder;
using testing::write_bytes;

constexpr std::uint32_t kF32 = 0, kQ8 = 8, kArray = 9;

class GgufFileTest : public ::testing::Test {
 protected:
  Result<GgufFile> open(const std::string& bytes) {
    write_bytes(folder_.path() / "m.gguf", bytes);
    return GgufFile::open(folder_.path() / "m.gguf");
  }
  std::string error_of(const std::string& bytes) {
    auto file = open(bytes);
    return file ? "no error" : file.error().message();
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(GgufFileTest, ReadsEveryKindOfValueOfTheGgufPackage) {
  const auto file = GgufFile::open(golden_file("llama_mixed.gguf"));
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(*file->value<std::string>("general.architecture"), "llama");
  EXPECT_EQ(*file->value<std::int64_t>("test.uint8"), 200);
  EXPECT_EQ(*file->value<std::int64_t>("test.int8"), -100);
  EXPECT_EQ(*file->value<std::int64_t>("test.uint16"), 60000);
  EXPECT_EQ(*file->value<std::int64_t>("test.int16"), -30000);
  EXPECT_EQ(*file->value<std::int64_t>("test.uint32"), 4000000000);
  EXPECT_EQ(*file->value<std::int64_t>("test.int32"), -2000000000);
  EXPECT_EQ(*file->value<std::int64_t>("test.uint64"), std::int64_t{1} << 62);
  EXPECT_EQ(*file->value<std::int64_t>("test.int64"), -(std::int64_t{1} << 62));
  EXPECT_EQ(*file->value<double>("test.float32"), static_cast<double>(0.1f));
  EXPECT_EQ(*file->value<double>("test.float64"), 0.1);
  EXPECT_EQ(*file->value<bool>("test.bool"), true);
  EXPECT_EQ(*file->value<std::string>("test.string"), "gr\u00fc\u00df dich");
  EXPECT_THAT(*file->value<std::vector<std::int64_t>>("test.integers"), ElementsAre(3, -1, 4));
  EXPECT_THAT(*file->value<std::vector<double>>("test.floats"), ElementsAre(0.5, -2.25));
  EXPECT_THAT(*file->value<std::vector<std::string>>("test.strings"), ElementsAre("", "a", "\u0120the"));
}

TEST_F(GgufFileTest, ListsTensorsRowsFirst) {
  const auto file = GgufFile::open(golden_file("llama_mixed.gguf"));
  ASSERT_TRUE(file) << file.error().message();
  const GgufTensor* tensor = file->tensor("token_embd.weight");
  ASSERT_NE(tensor, nullptr);
  EXPECT_THAT(tensor->shape, ElementsAre(20, 32));
  EXPECT_EQ(tensor->type, kQ8);
  EXPECT_EQ(tensor->bytes.size(), 20u * 34);
  EXPECT_EQ(file->tensor("no.such"), nullptr);
}

TEST_F(GgufFileTest, AbsenceAndWrongTypesAreToldApart) {
  const auto file = GgufFile::open(golden_file("llama_mixed.gguf"));
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_FALSE(file->optional_value<bool>("no.such")->has_value());
  EXPECT_THAT(file->value<bool>("no.such").error().message(), HasSubstr("no.such is missing"));
  EXPECT_THAT(file->optional_value<bool>("test.int8").error().message(), HasSubstr("test.int8 is not a bool"));
}

TEST_F(GgufFileTest, HonoursItsAlignment) {
  GgufBytes file;
  file.uint32("general.alignment", 64);
  file.tensor_at("a", {2}, kF32, 0).tensor_at("b", {1}, kF32, 64);
  std::string bytes = file.bytes();
  bytes.resize((bytes.size() + 63) / 64 * 64, '\0');
  bytes += bytes_of(1.0f) + bytes_of(2.0f) + std::string(56, '\0') + bytes_of(3.0f);
  const auto read = open(bytes);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(std::memcmp(read->tensor("b")->bytes.data(), bytes_of(3.0f).data(), 4), 0);
  EXPECT_THAT(error_of(GgufBytes().uint32("general.alignment", 12).bytes()), HasSubstr("power of two"));
  EXPECT_THAT(error_of(GgufBytes().uint32("general.alignment", 0).bytes()), HasSubstr("power of two"));
}

TEST_F(GgufFileTest, VersionTwoIsReadOthersAreNot) {
  EXPECT_TRUE(open(testing::smallest_gguf().bytes()));
  EXPECT_TRUE(open(GgufBytes(2).uint32("a", 1).bytes()));
  EXPECT_THAT(error_of(GgufBytes(1).bytes()), HasSubstr("version 1"));
  EXPECT_THAT(error_of(GgufBytes(0x03000000).bytes()), HasSubstr("little endian"));
  EXPECT_THAT(error_of("PK\3\4 this is a zip file"), HasSubstr("not a GGUF file"));
  EXPECT_THAT(error_of(""), HasSubstr("ends within its header"));
}

TEST_F(GgufFileTest, RefusesAbsurdCountsBeforeAllocating) {
  const std::string huge = bytes_of<std::uint64_t>(std::uint64_t{1} << 60);
  const auto array_of = [&](std::uint32_t type) { return bytes_of(type) + huge; };
  for (const std::uint32_t type : {0u, 4u, 6u, 8u, 12u}) {
    EXPECT_THAT(error_of(GgufBytes().raw("a", kArray, array_of(type)).bytes()), HasSubstr("ends within the array a"));
  }
  EXPECT_THAT(error_of(GgufBytes().raw("a", kArray, array_of(kArray)).bytes()), HasSubstr("unknown type 9"));
  EXPECT_THAT(error_of(GgufBytes().raw("a", 8, huge).bytes()), HasSubstr("ends within a string"));
  EXPECT_THAT(error_of("GGUF" + bytes_of(3u) + huge + bytes_of<std::uint64_t>(0)), HasSubstr("tensors are too many"));
  EXPECT_THAT(error_of("GGUF" + bytes_of(3u) + bytes_of<std::uint64_t>(0) + huge), HasSubstr("keys are too many"));
  EXPECT_THAT(error_of("GGUF" + bytes_of(3u) + bytes_of<std::uint64_t>(0) + bytes_of<std::uint64_t>(1) + huge),
              HasSubstr("ends within a metadata key"));
}

TEST_F(GgufFileTest, ArraysTogetherAreBounded) {
  // Two arrays of 5 million bytes each: 80 MB as int64.
  const std::string array = bytes_of(0u) + bytes_of<std::uint64_t>(5'000'000) + std::string(5'000'000, '\0');
  EXPECT_TRUE(open(GgufBytes().raw("a", kArray, array).bytes()));
  EXPECT_THAT(error_of(GgufBytes().raw("a", kArray, array).raw("b", kArray, array).bytes()),
              HasSubstr("too many elements"));
}

TEST_F(GgufFileTest, RefusesBrokenValues) {
  EXPECT_THAT(error_of(GgufBytes().uint32("a", 1).uint32("a", 1).bytes()), HasSubstr("key a stands twice"));
  EXPECT_THAT(error_of(GgufBytes().raw("a", 7, "\2").bytes()), HasSubstr("neither true nor false"));
  EXPECT_THAT(error_of(GgufBytes().raw("a", 77, "\2").bytes()), HasSubstr("unknown type 77"));
  EXPECT_THAT(error_of(GgufBytes().raw("a", 10, bytes_of(~std::uint64_t{0})).bytes()), HasSubstr("absurdly large"));
  EXPECT_THAT(error_of(GgufBytes().uint32(std::string(2000, 'k'), 1).bytes()), HasSubstr("more than the 1024"));
}

TEST_F(GgufFileTest, RefusesTensorsThatDoNotFit) {
  const std::string data(64, '\0');
  EXPECT_THAT(error_of(GgufBytes().tensor("t", {17}, kF32, data).bytes()),
              HasSubstr("tensor t reaches beyond the end"));
  EXPECT_THAT(error_of(GgufBytes().tensor("t", {16}, kF32, data).tensor_at("u", {1}, kF32, 64).bytes()),
              HasSubstr("tensor u reaches beyond the end"));
  EXPECT_THAT(error_of(GgufBytes().tensor("t", {16}, kF32, data).tensor_at("u", {1}, kF32, ~std::uint64_t{31}).bytes()),
              HasSubstr("tensor u reaches beyond the end"));
  EXPECT_THAT(error_of(GgufBytes().tensor("t", {16}, kF32, data).tensor_at("u", {8}, kF32, 32).bytes()),
              HasSubstr("tensors t and u overlap"));
  EXPECT_THAT(error_of(GgufBytes().tensor("t", {4}, kF32, data).tensor("t", {4}, kF32, data).bytes()),
              HasSubstr("tensor t stands twice"));
  EXPECT_THAT(error_of(GgufBytes().tensor("t", {4}, kF32, data).tensor_at("u", {1}, kF32, 20).bytes()),
              HasSubstr("tensor u is not aligned"));
  EXPECT_THAT(error_of(GgufBytes().tensor("t", {16}, kQ8, data).bytes()), HasSubstr("not a multiple of the 32"));
  EXPECT_THAT(error_of(GgufBytes().tensor("t", {4}, 4, data).bytes()), HasSubstr("unknown type 4"));
  EXPECT_THAT(error_of(GgufBytes().tensor("t", {}, kF32, data).bytes()), HasSubstr("has 0 dimensions"));
  EXPECT_THAT(error_of(GgufBytes().tensor("t", {1, 1, 1, 1, 1}, kF32, data).bytes()), HasSubstr("has 5 dimensions"));
  const std::uint64_t large = std::uint64_t{1} << 32;
  EXPECT_THAT(error_of(GgufBytes().tensor("t", {large, large}, kF32, data).bytes()), HasSubstr("absurd shape"));
  EXPECT_THAT(error_of(GgufBytes().tensor("t", {large, large / 4}, kF32, data).bytes()), HasSubstr("absurd shape"));
  EXPECT_THAT(error_of(GgufBytes().tensor("t", {0}, kF32, data).bytes()), HasSubstr("absurd shape"));
}

}  // namespace
}  // namespace jigsaw
