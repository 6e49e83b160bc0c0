// A peer's key pair for ZeroMQ's CURVE encryption.
#pragma once

#include <string>

#include "core/result.h"

namespace jigsaw {

// 40 printable characters each (Z85). The secret never leaves the process that made it.
struct CurveKeys {
  std::string public_key, secret_key;
};
Result<CurveKeys> make_curve_keys();
// Whether `text` can be a public key; says nothing about whose.
bool is_curve_key(const std::string& text);

}  // namespace jigsaw
