// Prompts from a JSONL file, walked in epochs. Immutable once read; any thread.
#pragma once

#include <memory>
#include <span>

#include "workers/tasks/task.h"
#include "workers/tasks/task_options.h"

namespace jigsaw {

inline constexpr std::string_view kJsonlTaskName = "jsonl";
// More prompts than this are refused, since each is kept in memory.
inline constexpr std::size_t kJsonlPromptsMax = 5'000'000;

std::span<const OptionRow> jsonl_options();
Result<std::unique_ptr<Task>> make_jsonl_task(const TaskConfig& config, std::uint64_t seed);

}  // namespace jigsaw
