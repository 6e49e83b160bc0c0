#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "workers/tasks/jsonl_line.h"
#include "workers/tasks/line_reader.h"
#include "workers/tasks/task.h"

namespace jigsaw {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class JsonlTaskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ =
        std::filesystem::temp_directory_path() / ("jigsaw-jsonl-" + std::to_string(getpid()) + "-" + info->name());
    std::filesystem::create_directories(folder_);
    config_.name = "jsonl";
    config_.file = (folder_ / "data.jsonl").string();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& bytes) { std::ofstream(config_.file, std::ios::binary) << bytes; }
  std::unique_ptr<Task> load(const std::string& bytes, std::uint64_t seed = 7) {
    write(bytes);
    auto task = make_task(config_, seed);
    EXPECT_TRUE(task.ok()) << (task.ok() ? "" : task.error().message());
    return task.ok() ? std::move(*task) : nullptr;
  }
  std::string error_of(const std::string& bytes) {
    write(bytes);
    const auto task = make_task(config_, 7);
    return task.ok() ? "no error" : task.error().message();
  }
  std::string numbered_lines(int count) {
    std::string lines;
    for (int i = 0; i < count; ++i) lines += R"({"prompt": "p)" + std::to_string(i) + "\"}\n";
    return lines;
  }

  std::filesystem::path folder_;
  TaskConfig config_;
};

TEST_F(JsonlTaskTest, ReadsPromptsMessagesAnswersAndExtraFields) {
  config_.shuffle = false;
  const auto task = load(
      "\xEF\xBB\xBF"
      R"({"prompt": "2+2=", "answer": 4})"
      "\r\n\r\n   \n"
      R"({"answer": "h\u00e9", "messages": [{"role": "user", "content": "Hi"}], "source": {"b": [1, 2.5]}, "a": "x"})"
      "\n"
      R"({"prompt": "no answer", "answer": null})"
      "\n"
      R"({"prompt": "c", "answer": -2.5})");  // no newline at the end
  ASSERT_EQ(task->num_prompts(), 4);
  EXPECT_EQ(task->name(), "jsonl");
  EXPECT_EQ(task->prompt(0).text, "2+2=");
  EXPECT_EQ(task->prompt(0).answer, "4");
  EXPECT_EQ(task->prompt(0).extra_json, "{}");
  const Prompt dialogue = task->prompt(1);
  EXPECT_EQ(dialogue.text, "");
  ASSERT_EQ(dialogue.messages.size(), 1u);
  EXPECT_EQ(dialogue.messages[0].role, "user");
  EXPECT_EQ(dialogue.messages[0].content, "Hi");
  EXPECT_EQ(dialogue.answer, "h\xC3\xA9");
  EXPECT_EQ(dialogue.extra_json, R"({"a":"x","source":{"b":[1,2.5]}})");
  EXPECT_EQ(task->prompt(2).answer, "");
  EXPECT_EQ(task->prompt(3).answer, "-2.5");
  EXPECT_EQ(task->prompt(4).text, "2+2=");  // the next epoch
  EXPECT_EQ(task->prompt(4).index, 4);
  EXPECT_EQ(task->alphabet(), "");  // a dialogue is among them
}

TEST_F(JsonlTaskTest, EachEpochHoldsEveryPromptOnceInAnOrderOfItsOwn) {
  constexpr int kPrompts = 37;
  const auto task = load(numbered_lines(kPrompts)), again = load(numbered_lines(kPrompts)),
             other = load(numbered_lines(kPrompts), 8);
  std::set<std::vector<std::string>> orders;
  for (int epoch = 0; epoch < 20; ++epoch) {
    std::vector<std::string> order, other_order;
    for (int i = 0; i < kPrompts; ++i) {
      const int index = epoch * kPrompts + i;
      order.push_back(task->prompt(index).text);
      other_order.push_back(other->prompt(index).text);
      EXPECT_EQ(again->prompt(index).text, order.back());
    }
    EXPECT_EQ(std::set<std::string>(order.begin(), order.end()).size(), kPrompts);
    EXPECT_NE(order, other_order);
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 20u);
}

TEST_F(JsonlTaskTest, FileOrderIsKeptWithoutShuffling) {
  config_.shuffle = false;
  const auto task = load(numbered_lines(5));
  std::vector<std::string> order;
  for (int i = 3; i < 8; ++i) order.push_back(task->prompt(i).text);
  EXPECT_THAT(order, ElementsAre("p3", "p4", "p0", "p1", "p2"));
}

TEST_F(JsonlTaskTest, SystemPromptMakesDialoguesAndYieldsToTheLinesOwn) {
  config_.shuffle = false;
  config_.system_prompt = "Be brief.";
  const auto task = load(R"({"prompt": "a"})"
                         "\n"
                         R"({"messages": [{"role": "user", "content": "b"}]})"
                         "\n"
                         R"({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "c"}]})");
  const auto described = [&](int index) {
    std::string text;
    for (const ChatMessage& message : task->prompt(index).messages) text += message.role + ":" + message.content + "|";
    return text;
  };
  EXPECT_EQ(described(0), "system:Be brief.|user:a|");
  EXPECT_EQ(described(1), "system:Be brief.|user:b|");
  EXPECT_EQ(described(2), "system:s|user:c|");
}

TEST_F(JsonlTaskTest, AlphabetIsWhatPlainPromptsAndAnswersHold) {
  EXPECT_EQ(load("{\"prompt\": \"ba\\u00e9\", \"answer\": 12}\n{\"prompt\": \"ca\"}")->alphabet(), "12abcé");
}

TEST_F(JsonlTaskTest, OtherFieldNamesCanBeNamed) {
  config_.options = {{"prompt_field", "question"}, {"answer_field", "solution"}};
  const Prompt prompt = load(R"({"question": "q", "solution": "s", "answer": "x"})")->prompt(0);
  EXPECT_EQ(prompt.text, "q");
  EXPECT_EQ(prompt.answer, "s");
  EXPECT_EQ(prompt.extra_json, R"({"answer":"x"})");
}

TEST_F(JsonlTaskTest, ErrorsNameFileLineAndFix) {
  const std::string good = "{\"prompt\": \"a\"}\n";
  const std::string place = config_.file + ":2: ";
  const auto error_at_line_2 = [&](const std::string& line) { return error_of(good + line + "\n" + good); };
  EXPECT_THAT(error_at_line_2("{\"prompt\": }"), AllOf(StartsWith(place), HasSubstr("not valid JSON at byte 12")));
  EXPECT_THAT(error_at_line_2("[1]"), AllOf(StartsWith(place), HasSubstr("array"), HasSubstr("object such as")));
  EXPECT_THAT(error_at_line_2(R"({"question": "q"})"),
              AllOf(StartsWith(place), HasSubstr("neither 'prompt' nor 'messages'"), HasSubstr("question"),
                    HasSubstr("prompt_field")));
  EXPECT_THAT(error_at_line_2(R"({"prompt": "a", "messages": []})"), HasSubstr("both"));
  EXPECT_THAT(error_at_line_2(R"({"prompt": 5})"), HasSubstr("must be a string, found number"));
  EXPECT_THAT(error_at_line_2(R"({"prompt": ""})"), HasSubstr("empty"));
  EXPECT_THAT(error_at_line_2(R"({"prompt": "a", "answer": [1]})"), HasSubstr("'answer' must be a string or a number"));
  EXPECT_THAT(error_at_line_2(R"({"prompt": "a", "answer": 123456789012345678901234567890})"),
              HasSubstr("as a string"));
  EXPECT_THAT(error_at_line_2(R"({"prompt": "a", "answer": 1e999})"), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_at_line_2(R"({"messages": []})"), HasSubstr("must be a list"));
  EXPECT_THAT(error_at_line_2(R"({"messages": [{"role": "user"}]})"), HasSubstr("messages[0]"));
  EXPECT_THAT(error_at_line_2(R"({"messages": [7]})"), HasSubstr("messages[0]"));
  EXPECT_THAT(error_at_line_2(R"({"messages": [{"role": "", "content": "x"}]})"), HasSubstr("role"));
  EXPECT_THAT(error_at_line_2(R"({"messages": [{"role": "assistant", "content": "x"}]})"), HasSubstr("assistant"));
  EXPECT_THAT(error_at_line_2("{\"prompt\": \"\xff\"}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_at_line_2("{\"prompt\": \"\\ud800\"}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_at_line_2(R"({"prompt": "a", "x": )" + std::string(100000, '[')), HasSubstr("nested deeper"));
  EXPECT_THAT(error_of(""), HasSubstr("holds no prompts"));
  EXPECT_THAT(error_of("\n\r\n  \n"), HasSubstr("holds no prompts"));
}

TEST_F(JsonlTaskTest, SeveralBadLinesComeAtOnceButNotAll) {
  const std::string few = error_of("{\"prompt\": \"a\"}\n{}\n\n[]\n");
  EXPECT_THAT(few, AllOf(HasSubstr(":2: "), HasSubstr(":4: "), Not(HasSubstr("unread"))));
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += "{}\n";
  const std::string many = error_of(lines);
  EXPECT_THAT(many, AllOf(HasSubstr(":5: "), Not(HasSubstr(":6: ")), HasSubstr("unread")));
}

TEST_F(JsonlTaskTest, FilesThatCannotBeReadAreNamed) {
  EXPECT_THAT(make_task(config_, 1).error().message(), AllOf(HasSubstr(config_.file), HasSubstr("No such file")));
  config_.file = folder_.string();
  EXPECT_THAT(make_task(config_, 1).error().message(), HasSubstr("not a regular file"));
  config_.file = "/dev/zero";
  EXPECT_THAT(make_task(config_, 1).error().message(), HasSubstr("not a regular file"));
  config_.file = "";
  EXPECT_THAT(make_task(config_, 1).error().message(), HasSubstr("give one as 'file'"));
}

TEST_F(JsonlTaskTest, OptionsAreChecked) {
  config_.options = {{"promptfield", "x"}};
  EXPECT_THAT(error_of(numbered_lines(1)), HasSubstr("did you mean 'prompt_field'"));
  config_.options = {{"prompt_field", "answer"}};
  EXPECT_THAT(error_of(numbered_lines(1)), HasSubstr("must differ"));
}

TEST_F(JsonlTaskTest, ALineOver16MbIsRefusedAndOneBelowIsNot) {
  EXPECT_THAT(error_of("{\"prompt\": \"a\"}\n" + std::string(17 << 20, 'x')),
              AllOf(HasSubstr(":2: "), HasSubstr("the line is over 16777216 bytes")));
  EXPECT_EQ(load("{\"prompt\": \"" + std::string(15 << 20, 'x') + "\"}")->prompt(0).text.size(), 15u << 20);
}

TEST_F(JsonlTaskTest, LineReaderHonoursItsLimitsExactly) {
  write("12345\n1234\n123456");
  std::string line;
  auto reader = LineReader::open(config_.file, {.line_bytes_max = 5, .file_bytes_max = 1000});
  ASSERT_TRUE(reader.ok());
  EXPECT_TRUE(*reader->next(line));
  EXPECT_EQ(line, "12345");
  EXPECT_TRUE(*reader->next(line));
  EXPECT_EQ(line, "1234");
  EXPECT_THAT(reader->next(line).error().message(), StartsWith(config_.file + ":3: the line is over 5"));

  auto small = LineReader::open(config_.file, {.line_bytes_max = 100, .file_bytes_max = 16});
  EXPECT_THAT(small->next(line).error().message(), HasSubstr("the file is over 16 bytes"));
}

TEST_F(JsonlTaskTest, LinesAcrossChunkBordersArriveWhole) {
  std::mt19937 random(5);
  std::vector<std::string> lines;
  std::string bytes;
  for (int i = 0; i < 200; ++i) {
    lines.emplace_back(random() % 20000, static_cast<char>('a' + i % 26));
    bytes += lines.back() + (i % 3 == 0 ? "\r\n" : "\n");
  }
  write(bytes);
  auto reader = LineReader::open(config_.file);
  std::string line;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    ASSERT_TRUE(*reader->next(line));
    ASSERT_EQ(line, lines[i]);
    ASSERT_EQ(reader->line_number(), static_cast<std::int64_t>(i) + 1);
  }
  EXPECT_FALSE(*reader->next(line));
  EXPECT_FALSE(*reader->next(line));
}

// Bytes flipped, dropped and doubled in good lines: any outcome but a crash, and errors stay short.
TEST(JsonlLineTest, DamagedLinesNeverCrash) {
  std::mt19937 random(11);
  const std::vector<std::string> seeds = {
      R"({"prompt": "2+2=", "answer": 4, "x": {"y": [1, 2, {"z": null}]}})",
      R"({"messages": [{"role": "system", "content": "s\n\u00e9"}, {"role": "user", "content": "c"}], "answer": "a"})"};
  int num_good = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string line = seeds[random() % seeds.size()];
    for (unsigned edits = 1 + random() % 3; edits > 0 && !line.empty(); --edits) {
      const std::size_t at = random() % line.size();
      switch (random() % 3) {
        case 0: line[at] = static_cast<char>(random()); break;
        case 1: line.erase(at, 1); break;
        default: line.insert(at, line.substr(at, random() % 9)); break;
      }
    }
    const auto decoded = decode_jsonl_line(line, {});
    if (decoded) {
      ++num_good;
      EXPECT_NE(decoded->prompt.empty(), decoded->messages.empty());
    } else {
      EXPECT_LT(decoded.error().message().size(), 600u);
    }
  }
  EXPECT_GT(num_good, 500);
}

}  // namespace
}  // namespace jigsaw
