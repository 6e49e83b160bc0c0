// How `jigsaw run`, which starts mpirun, learns that the controller has ended and with what code: mpirun's own code
// also tells of workers that were lost on the way, and says nothing of a controller that was.
#pragma once

#include <filesystem>
#include <optional>

#include "core/process_watch.h"

namespace jigsaw::cli {

// Made by whoever starts mpirun: ranks find it by their environment. Removed at the end.
class ExitFile {
 public:
  ExitFile();
  ~ExitFile();
  ExitFile(const ExitFile&) = delete;
  ExitFile& operator=(const ExitFile&) = delete;
  std::optional<int> code() const;  // empty: the controller has left none (yet)
  bool has_begun() const;           // the controller has announced itself
  bool is_over();                   // the controller has left a code, or has ended without one

 private:
  std::filesystem::path path_;
  ProcessWatch controller_;
};

// By the controller, as the first it does.
void announce_controller();

// By the controller, as the last it does. Without effect under a foreign mpirun.
void leave_exit_code(int code);

}  // namespace jigsaw::cli
