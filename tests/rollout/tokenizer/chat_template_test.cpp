// Templates render as transformers renders them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/philox.h"
#include "rollout/tokenizer/jinja/template.h"
#include "tests/rollout/tokenizer/tokenizer_testing.h"

namespace jigsaw {
namespace {

using nlohmann::ordered_json;
using testing::golden_json;
using ::testing::HasSubstr;
using testing::TokenizerFolder;

// A tokenizer with the template in one of the places where it may stand.
std::unique_ptr<Tokenizer> with_template(const std::string& text, bool in_config) {
  const TokenizerFolder folder;
  folder.write("tokenizer.json", testing::small_tokenizer_json().dump());
  ordered_json config{{"bos_token", "<s>"}, {"eos_token", {{"content", "</s>"}}}};
  if (in_config) {
    config["chat_template"] = text;
  } else {
    folder.write("chat_template.jinja", text);
  }
  folder.write("tokenizer_config.json", config.dump());
  return testing::loaded(folder.path());
}

std::string golden_template(const std::string& name) {
  const std::string path = testing::golden_path("chat/" + name).string();
  std::ifstream in(path);
  CHECK_MSG(in.good(), path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<ChatMessage> messages_of(const ordered_json& list) {
  std::vector<ChatMessage> messages;
  for (const auto& message : list) {
    messages.push_back({message["role"].get<std::string>(), message["content"].get<std::string>()});
  }
  return messages;
}

TEST(ChatTemplateTest, RendersDialoguesAsTransformers) {
  const auto cases = golden_json("chat_cases.json");
  ASSERT_EQ(cases.size(), 180u);
  for (const auto& one : cases) {
    const std::string source = golden_template(one["template"].get<std::string>());
    for (const bool in_config : {false, true}) {
      const auto prompt = with_template(source, in_config)->apply_chat_template(messages_of(one["messages"]));
      if (one["prompt"].is_null()) {
        EXPECT_FALSE(prompt.ok()) << one;
      } else {
        ASSERT_TRUE(prompt.ok()) << prompt.error().message() << one;
        EXPECT_EQ(*prompt, one["prompt"].get<std::string>());
      }
    }
  }
}

TEST(ChatTemplateTest, OfSeveralTheDefaultOneCounts) {
  const TokenizerFolder folder;
  folder.write("tokenizer.json", testing::small_tokenizer_json().dump());
  folder.write("tokenizer_config.json", R"({"chat_template": [{"name": "tool_use", "template": "no"},
                                                               {"name": "default", "template": "yes"}]})");
  EXPECT_EQ(*testing::loaded(folder.path())->apply_chat_template({}), "yes");
  folder.write("chat_template.jinja", "jinja");  // the file goes before the field
  EXPECT_EQ(*testing::loaded(folder.path())->apply_chat_template({}), "jinja");
}

TEST(ChatTemplateTest, WhatItCannotRenderIsAnErrorOnlyWhenAsked) {
  for (const auto& [source, part] : {std::pair("{% macro m() %}{% endmacro %}", "line 1: the tag is not known here"),
                                     std::pair("\n{{ messages | tojson }}", "line 2: the filter 'tojson'"),
                                     std::pair("{{ raise_exception('take turns') }}", "take turns"),
                                     std::pair("{{ strftime_now('%Y') }}", "strftime_now")}) {
    const auto prompt = with_template(source, false)->apply_chat_template(std::vector<ChatMessage>{{"user", "hi"}});
    ASSERT_FALSE(prompt.ok());
    EXPECT_THAT(prompt.error().message(), HasSubstr(std::string("chat template: ")));
    EXPECT_THAT(prompt.error().message(), HasSubstr(part));
  }
}

TEST(ChatTemplateTest, InvalidUtf8InAMessageIsReplaced) {
  const auto tokenizer = with_template("{{ messages[0].content }}", false);
  EXPECT_EQ(*tokenizer->apply_chat_template(std::vector<ChatMessage>{{"user", "a\xFFz"}}), "a\uFFFDz");
}

jinja::Value value_of(const ordered_json& json) {
  if (json.is_string()) return json.get<std::string>();
  jinja::List list;
  jinja::Dict dict;
  for (const auto& [key, value] : json.items()) {
    list.push_back(value_of(value));
    dict.emplace_back(key, value_of(value));
  }
  return json.is_array() ? jinja::Value(std::move(list)) : jinja::Value(std::move(dict));
}

TEST(JinjaTest, RendersAsJinja2) {
  const auto golden = golden_json("jinja_cases.json");
  jinja::Dict variables;
  for (const auto& [name, value] : golden["variables"].items()) variables.emplace_back(name, value_of(value));
  for (const auto& one : golden["cases"]) {
    const auto source = one["template"].get<std::string>();
    const auto parsed = jinja::Template::parse(source);
    const auto text = parsed ? parsed->render(variables) : Result<std::string>(parsed.error());
    if (one["text"].is_null()) {
      EXPECT_FALSE(text.ok()) << source;
    } else {
      ASSERT_TRUE(text.ok()) << source << text.error().message();
      EXPECT_EQ(*text, one["text"].get<std::string>()) << source;
    }
  }
}

std::string error_of(const std::string& source) {
  const auto parsed = jinja::Template::parse(source);
  const auto text = parsed ? parsed->render({}) : Result<std::string>(parsed.error());
  return text ? "" : text.error().message();
}

TEST(JinjaTest, HostileTemplatesEndInErrors) {
  const std::string deep_brackets = "{{ " + std::string(400, '(') + "1" + std::string(400, ')') + " }}";
  EXPECT_THAT(error_of(deep_brackets), HasSubstr("too deep"));
  EXPECT_THAT(error_of("{{ " + std::string(900, '-') + "1 }}"), HasSubstr("too deep"));
  std::string ifs, sum = "{{ 1";
  for (int i = 0; i < 100; ++i) ifs += "{% if true %}";
  for (int i = 0; i < 50'000; ++i) sum += " + 1";
  EXPECT_THAT(error_of(ifs), HasSubstr("too deep"));
  EXPECT_THAT(error_of(sum + " }}"), HasSubstr("too long a tag"));
  EXPECT_THAT(error_of(std::string(300'000, 'x')), HasSubstr("300000 bytes"));
  EXPECT_THAT(error_of("\xFF"), HasSubstr("UTF-8"));
  EXPECT_THAT(error_of("{{ range(10000000000) }}"), HasSubstr("too long a range"));
  EXPECT_THAT(error_of("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}"),
              HasSubstr("too much work"));
  const std::string in_loop = "{% set ns = namespace(x='ab', l=[1]) %}{% for i in range(1000) %}";
  EXPECT_THAT(error_of(in_loop + "{% set ns.x = ns.x + ns.x %}{% endfor %}"), HasSubstr("too large"));
  EXPECT_THAT(error_of(in_loop + "{% set ns.l = ns.l + ns.l %}{% endfor %}"), HasSubstr("too much work"));
  EXPECT_THAT(error_of(in_loop + "{% set ns.l = [ns.l] %}{% endfor %}"), HasSubstr("too large"));
  EXPECT_THAT(error_of("{{ 9223372036854775807 + 1 }}"), HasSubstr("64 bits"));
  EXPECT_THAT(error_of("{{ 1 // 0 }}"), HasSubstr("division by zero"));
  EXPECT_THAT(error_of("{{ 99999999999999999999 }}"), HasSubstr("number"));
  EXPECT_EQ(error_of("{{ 'abc'[::9223372036854775807] }}{{ 'abc'[-9223372036854775807:9223372036854775807] }}"), "");
}

TEST(JinjaTest, ChangedBytesNeverCrash) {
  for (const std::string name : {"chatml_tools.jinja", "thinking.jinja", "instructions.jinja"}) {
    const std::string source = golden_template(name);
    const jinja::Dict variables{{"messages", jinja::List{jinja::Dict{{"role", "user"}, {"content", "hi"}}}},
                                {"tools", jinja::None()}};
    for (std::uint64_t i = 0; i < 2000; ++i) {
      std::string changed = source;
      const PhiloxBlock draw = philox(5, 0, i);
      changed.replace(draw[0] % changed.size(), draw[2] % 3,
                      std::string(draw[3] % 3, static_cast<char>(draw[1] % 128)));
      const auto parsed = jinja::Template::parse(changed);
      if (parsed) (void)parsed->render(variables).ok();
    }
  }
}

}  // namespace
}  // namespace jigsaw
