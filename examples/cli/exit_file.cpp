#include "examples/cli/exit_file.h"

#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>

#include "core/atomic_file.h"
#include "core/files.h"

namespace jigsaw::cli {
namespace {

constexpr char kVariable[] = "JIGSAW_EXIT_FILE";
constexpr std::size_t kBytesMax = 64;
constexpr std::string_view kProcess = "process ", kCode = "code ";

std::optional<long> number_after(const std::filesystem::path& file, std::string_view word) {
  if (file.empty()) return std::nullopt;
  const auto text = read_text_file(file, kBytesMax);
  if (!text.ok() || !text->starts_with(word)) return std::nullopt;
  return std::strtol(text->c_str() + word.size(), nullptr, 10);
}

void write(std::string_view word, long number) {
  if (const char* file = std::getenv(kVariable)) {
    (void)write_file_atomically(file, std::string(word) + std::to_string(number));
  }
}

}  // namespace

ExitFile::ExitFile() {
  std::error_code error;
  std::string pattern = (std::filesystem::temp_directory_path(error) / "jigsaw-exit-XXXXXX").string();
  const int fd = ::mkstemp(pattern.data());
  if (fd < 0) return;  // mpirun's code must do then
  ::close(fd);
  path_ = pattern;
  ::setenv(kVariable, pattern.c_str(), 1);
}

ExitFile::~ExitFile() {
  ::unsetenv(kVariable);
  std::error_code error;
  if (!path_.empty()) std::filesystem::remove(path_, error);
}

std::optional<int> ExitFile::code() const {
  const auto code = number_after(path_, kCode);
  return code ? std::optional(static_cast<int>(*code)) : std::nullopt;
}

bool ExitFile::has_begun() const { return code() || number_after(path_, kProcess); }

bool ExitFile::is_over() {
  if (code()) return true;
  if (!controller_.has_process()) {
    if (const auto pid = number_after(path_, kProcess)) {
      auto watch = ProcessWatch::open(static_cast<int>(*pid));
      if (!watch.ok()) return watch.error().code() == ErrorCode::kNotFound;
      controller_ = *std::move(watch);
    }
  }
  return controller_.has_ended();
}

void announce_controller() { write(kProcess, ::getpid()); }
void leave_exit_code(int code) { write(kCode, code); }

}  // namespace jigsaw::cli
