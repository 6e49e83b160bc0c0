#include "examples/cli/exit_file.h"

#include <unistd.h>

#include <cstdlib>
#include <string>
#include <system_error>

#include "core/atomic_file.h"
#include "core/files.h"

namespace jigsaw::cli {
namespace {

constexpr char kVariable[] = "JIGSAW_EXIT_FILE";
constexpr std::size_t kBytesMax = 16;

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
  if (path_.empty()) return std::nullopt;
  const auto text = read_text_file(path_, kBytesMax);
  if (!text.ok() || text->empty()) return std::nullopt;
  return std::atoi(text->c_str());
}

void leave_exit_code(int code) {
  if (const char* file = std::getenv(kVariable)) (void)write_file_atomically(file, std::to_string(code));
}

}  // namespace jigsaw::cli
