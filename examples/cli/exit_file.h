// How `jigsaw run`, which starts mpirun, learns the controller's exit code: mpirun's own code also tells of workers
// that were lost on the way, and says nothing of a controller that was.
#pragma once

#include <filesystem>
#include <optional>

namespace jigsaw::cli {

// Made by whoever starts mpirun: ranks find it by their environment. Removed at the end.
class ExitFile {
 public:
  ExitFile();
  ~ExitFile();
  ExitFile(const ExitFile&) = delete;
  ExitFile& operator=(const ExitFile&) = delete;
  std::optional<int> code() const;  // empty: the controller has left none

 private:
  std::filesystem::path path_;
};

// By the controller, as the last it does. Without effect under a foreign mpirun.
void leave_exit_code(int code);

}  // namespace jigsaw::cli
