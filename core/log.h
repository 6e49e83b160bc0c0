// Logging: one line an event, a stable name and fields: log_info("stage.dispatched", "step={} worker={}", 12, 3).
// Lines go to stderr and, once a run has a folder, to its logs/. Every line bears the process's role.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <string_view>

namespace jigsaw {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// `role` is "controller", "worker-1", ... The environment variable JIGSAW_LOG=debug|info|warning|error sets what
// reaches stderr (default `stderr_level`).
void init_logging(const std::string& role, LogLevel stderr_level);
// Lines of level info and up are also written here from now on.
void log_to_file(const std::filesystem::path& file);

void log_line(LogLevel level, std::string_view event, std::string_view fields);

template <typename... Args>
void log_debug(std::string_view event, fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kDebug, event, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_info(std::string_view event, fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kInfo, event, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(std::string_view event, fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kWarning, event, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_error(std::string_view event, fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kError, event, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace jigsaw
