// The table of tasks. A new one is a file beside this one, a declaration in exercise.h and a line here.
#include "core/nearest_name.h"
#include "workers/tasks/jsonl_task.h"
#include "workers/tasks/procedural_task.h"

namespace jigsaw {
namespace {

const std::vector<TaskRow>& procedural_tasks() {
  static const std::vector<TaskRow> rows = {addition_task(), copy_task(),    count_task(), countdown_task(),
                                            parity_task(),   reverse_task(), sort_task()};
  return rows;
}

TaskInfo describe(std::string_view name, std::string_view summary, std::span<const OptionRow> options) {
  TaskInfo info{std::string(name), std::string(summary), {}};
  for (const OptionRow& row : options) {
    info.options.push_back({std::string(row.name), std::string(row.fallback), row.range(), std::string(row.meaning)});
  }
  return info;
}

}  // namespace

std::vector<TaskInfo> task_table() {
  std::vector<TaskInfo> table;
  for (const TaskRow& row : procedural_tasks()) {
    table.push_back(describe(row.name, row.summary, with_common_options(row)));
  }
  table.push_back(describe(kJsonlTaskName, "prompts from a file, one JSON object a line", jsonl_options()));
  return table;
}

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (const TaskInfo& info : task_table()) names.push_back(info.name);
  return names;
}

Result<std::unique_ptr<Task>> make_task(const TaskConfig& config, std::uint64_t seed) {
  if (config.name == kJsonlTaskName) return make_jsonl_task(config, seed);
  for (const TaskRow& row : procedural_tasks()) {
    if (row.name == config.name) return make_procedural_task(row, config, seed);
  }
  return Error(ErrorCode::kInvalidArgument, unknown_name_message("task", config.name, task_names()));
}

}  // namespace jigsaw
