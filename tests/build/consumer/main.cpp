// Uses a compiled function of each library it links, and a header that has none; exits with 0 when all do their work.
#include <iostream>

#include "core/philox.h"
#include "core/result.h"
#include "rollout/models/model_config.h"

int main() {
  const jigsaw::ModelConfig empty;
  const auto status = jigsaw::validate(empty);
  if (status.ok()) {
    std::cerr << "a model of no size was found valid\n";
    return 1;
  }
  std::cout << to_string(status.error().code()) << ": " << status.error().message() << "\n";
  return jigsaw::philox(0, 0, 0)[0] == 0x6627e8d5u ? 0 : 1;
}
