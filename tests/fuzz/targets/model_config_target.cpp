#include <cstdlib>

#include "rollout/models/hf_config.h"
#include "tests/fuzz/fuzz_targets.h"
#include "tests/fuzz/memory_file.h"

namespace jigsaw::fuzz {
namespace {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "jigsaw-fuzz-XXXXXX").string();
    CHECK(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

void model_config(std::string_view bytes) {
  static const Folder folder;
  const MemoryFile input(bytes);
  const std::filesystem::path link = folder.path() / "config.json";
  std::error_code error;
  std::filesystem::remove(link, error);
  std::filesystem::create_symlink(input.path(), link);
  const auto config = read_hf_config(folder.path());
  if (!config.ok()) return;
  CHECK(validate(*config).ok());
  // What we write of it is read back as the same.
  const MemoryFile written(to_hf_config(*config).dump());
  std::filesystem::remove(link, error);
  std::filesystem::create_symlink(written.path(), link);
  const auto again = read_hf_config(folder.path());
  CHECK_MSG(again.ok(), again.error().message());
  CHECK(*again == *config);
}

}  // namespace jigsaw::fuzz
