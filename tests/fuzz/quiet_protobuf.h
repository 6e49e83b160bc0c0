// Protobuf writes a line to stderr for each string that is no UTF-8, which inputs here are full of.
#pragma once

#include <google/protobuf/stubs/logging.h>

namespace jigsaw::fuzz {

inline void quiet_protobuf() { [[maybe_unused]] static const auto before = google::protobuf::SetLogHandler(nullptr); }

}  // namespace jigsaw::fuzz
