#include "core/transport/curve_keys.h"

#include <zmq.h>

#include <array>
#include <cstdint>

namespace jigsaw {

Result<CurveKeys> make_curve_keys() {
  char public_key[41], secret_key[41];
  if (zmq_curve_keypair(public_key, secret_key) != 0) {
    return Error(ErrorCode::kUnsupported, "this ZeroMQ cannot make CURVE keys: install one built with libsodium");
  }
  return CurveKeys{public_key, secret_key};
}

bool is_curve_key(const std::string& text) {
  std::array<std::uint8_t, 32> key;
  return text.size() == 40 && zmq_z85_decode(key.data(), text.c_str()) != nullptr;
}

}  // namespace jigsaw
