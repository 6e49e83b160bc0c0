#include "core/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <memory>

namespace jigsaw {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::string pattern_for(const std::string& role) { return "%Y-%m-%d %H:%M:%S.%e %l " + role + " %v"; }

// Where lines go, and the name they bear. Set up once in main, before threads start.
struct Sinks {
  std::string role = "jigsaw";
  std::shared_ptr<spdlog::sinks::stderr_sink_mt> console = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  std::shared_ptr<spdlog::logger> logger;

  Sinks() {
    console->set_level(spdlog::level::warn);
    rebuild({console});
  }
  void rebuild(spdlog::sinks_init_list sinks) {
    logger = std::make_shared<spdlog::logger>("jigsaw", sinks);
    logger->set_level(spdlog::level::debug);
    logger->set_pattern(pattern_for(role));
    logger->flush_on(spdlog::level::info);
  }
};

Sinks& sinks() {
  static Sinks instance;
  return instance;
}

}  // namespace

void init_logging(const std::string& role, LogLevel stderr_level) {
  spdlog::level::level_enum level = to_spdlog(stderr_level);
  if (const char* wanted = std::getenv("JIGSAW_LOG")) level = spdlog::level::from_str(wanted);
  sinks().role = role;
  sinks().console->set_level(level);
  sinks().rebuild({sinks().console});
}

void log_to_file(const std::filesystem::path& file) {
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string());
    sink->set_level(spdlog::level::info);
    sinks().rebuild({sinks().console, sink});
  } catch (const spdlog::spdlog_ex& error) {
    log_warning("log.no_file", "file={} error=\"{}\"", file.string(), error.what());
  }
}

void log_line(LogLevel level, std::string_view event, std::string_view fields) {
  sinks().logger->log(to_spdlog(level), "{} {}", event, fields);
}

}  // namespace jigsaw
