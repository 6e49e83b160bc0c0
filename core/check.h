// CHECK(condition): our own bug if it fails, so the process ends at once, in release builds too: a wrong step trains a
// wrong model quietly.
#pragma once

#include <string>

namespace jigsaw {

// Prints file, line and message to stderr and aborts.
[[noreturn]] void check_failed(const char* file, int line, const std::string& message);

}  // namespace jigsaw

#define CHECK_FAILED(message) ::jigsaw::check_failed(__FILE__, __LINE__, (message))
#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) CHECK_FAILED(std::string("CHECK failed: ") + #condition); \
  } while (false)
// CHECK with a message for whoever reads the crash.
#define CHECK_MSG(condition, message)                                                              \
  do {                                                                                             \
    if (!(condition)) CHECK_FAILED(std::string("CHECK failed: ") + #condition + ": " + (message)); \
  } while (false)
