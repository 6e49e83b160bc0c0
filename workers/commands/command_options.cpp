#include "workers/commands/command_options.h"

namespace jigsaw {
namespace {

using std::chrono::milliseconds;

constexpr int kProcessesMax = 256;
constexpr int kSubprocessesMax = 4096;
constexpr milliseconds kTimeMax = std::chrono::seconds(1'000'000);

struct FieldRow {
  const char* name;
  bool (*is_changed)(const CommandOptions& options, const CommandOptions& plain);
};

constexpr FieldRow kFields[] = {
    {"command", [](const auto& options, const auto& plain) { return options.argv != plain.argv; }},
    {"processes", [](const auto& options, const auto& plain) { return options.processes != plain.processes; }},
    {"time_limit_s", [](const auto& options, const auto& plain) { return options.time_limit != plain.time_limit; }},
    {"start_time_limit_s",
     [](const auto& options, const auto& plain) { return options.start_time_limit != plain.start_time_limit; }},
    {"retries", [](const auto& options, const auto& plain) { return options.retries != plain.retries; }},
    {"memory_gb",
     [](const auto& options, const auto& plain) { return options.memory_bytes_max != plain.memory_bytes_max; }},
    {"file_gb", [](const auto& options, const auto& plain) { return options.file_bytes_max != plain.file_bytes_max; }},
    {"subprocesses",
     [](const auto& options, const auto& plain) { return options.subprocesses_max != plain.subprocesses_max; }},
    {"own_groups", [](const auto& options, const auto& plain) { return options.own_groups != plain.own_groups; }},
    {"environment", [](const auto& options, const auto& plain) { return options.environment != plain.environment; }}};

Error bad(const std::string& message) { return Error(ErrorCode::kInvalidArgument, message); }

}  // namespace

std::vector<std::string> command_fields() {
  std::vector<std::string> names;
  for (const FieldRow& field : kFields) names.emplace_back(field.name);
  return names;
}

std::vector<std::string> changed_command_fields(const CommandOptions& options) {
  std::vector<std::string> names;
  for (const FieldRow& field : kFields) {
    if (field.is_changed(options, CommandOptions())) names.emplace_back(field.name);
  }
  return names;
}

Status check_command_options(const CommandOptions& options) {
  if (options.argv.empty()) {
    return bad(R"(needs a 'command', such as ["python3", "program.py"] (no shell is involved))");
  }
  if (options.processes < 1 || options.processes > kProcessesMax) {
    return bad("processes is " + std::to_string(options.processes) + ", but must be from 1 to " +
               std::to_string(kProcessesMax));
  }
  if (options.time_limit <= milliseconds(0) || options.time_limit > kTimeMax) {
    return bad("time_limit_s must be above 0 and at most 1e6");
  }
  if (options.start_time_limit < milliseconds(0) || options.start_time_limit > kTimeMax) {
    return bad("start_time_limit_s must be from 0 to 1e6");
  }
  if (options.retries < 0 || options.retries > 100) return bad("retries must be from 0 to 100");
  if (options.subprocesses_max < 0 || options.subprocesses_max > kSubprocessesMax) {
    return bad("subprocesses must be from 0 to " + std::to_string(kSubprocessesMax));
  }
  for (const std::string& name : options.environment) {
    if (name.empty() || name.find('=') != std::string::npos) {
      return bad("environment: '" + name + "' is no name of a variable (values are given in the command, by env)");
    }
  }
  return ok_status();
}

}  // namespace jigsaw
