#include <nlohmann/json.hpp>

#include "tests/fuzz/fuzz_targets.h"
#include "workers/tasks/jsonl_line.h"

namespace jigsaw::fuzz {

void data_line(std::string_view bytes) {
  const auto line = decode_jsonl_line(bytes, {});
  if (line.ok()) CHECK(nlohmann::json::accept(line->extra_json));
}

}  // namespace jigsaw::fuzz
