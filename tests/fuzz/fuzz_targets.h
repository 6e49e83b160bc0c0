// What reads bytes from outside: model files, job files, messages, what programs say. A target hands its bytes to the
// code that decodes and checks them, and on to what that code lets pass. Whatever the bytes are, the answer is a value
// or an error: a crash, a CHECK, a sanitizer's report, a hang or much memory is a finding.
//
// Built with the preset `fuzz`, each is a libFuzzer program; in every other build fuzz_smoke_test.cpp runs them all for
// a moment. Deterministic, so that a finding replays: no clock, no randomness, nothing kept between two calls.
#pragma once

#include <span>
#include <string_view>

namespace jigsaw::fuzz {

void safetensors(std::string_view bytes);
void model_config(std::string_view bytes);
void gguf(std::string_view bytes);
void tokenizer_json(std::string_view bytes);
void tokenizer_text(std::string_view bytes);
void chat_template(std::string_view bytes);
void job_yaml(std::string_view bytes);
void data_line(std::string_view bytes);
void command_reply(std::string_view bytes);
void tool_reply(std::string_view bytes);
void from_worker(std::string_view bytes);
void control_request(std::string_view bytes);
void to_worker(std::string_view bytes);
void moved_sequence(std::string_view bytes);
void peer_message(std::string_view bytes);
void gradient_message(std::string_view bytes);

struct Target {
  std::string_view name;  // of its folder in corpus/, too
  void (*run)(std::string_view bytes);
  int smoke_mutations;  // so that the smoke run takes seconds in all
};
std::span<const Target> targets();

}  // namespace jigsaw::fuzz
