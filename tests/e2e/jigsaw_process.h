// Running the real program from tests: to its end, or killed at a chosen moment.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace jigsaw {

// Bounds of time are for the program at full speed; under a sanitizer they are this many times longer.
inline constexpr int kPatience = JIGSAW_PATIENCE;

struct ProcessOutcome {
  int exit_code = -1;  // 128 + signal when killed
  std::string out, err;
};

// A folder that goes with the test.
class TestFolder {
 public:
  TestFolder();
  ~TestFolder();
  const std::filesystem::path& path() const { return path_; }
  std::string file(const std::string& name, const std::string& text) const;  // writes it, returns its path

 private:
  std::filesystem::path path_;
};

// Runs argv in a session of its own. `watch` is called again and again with the child's session; true means: kill -9
// everything in it now. Fails the test after `limit`, and when a process in it had something reported by a sanitizer.
using Watch = std::function<bool(int session)>;
ProcessOutcome run_process(const std::vector<std::string>& argv, const Watch& watch = nullptr,
                           std::chrono::seconds limit = std::chrono::seconds(120 * kPatience));
// `jigsaw ARGS..`
ProcessOutcome run_jigsaw(std::vector<std::string> arguments, const Watch& watch = nullptr);

// The process of a rank of mpirun's in this session; -1 when there is none (yet, or any more).
int process_of_rank(int session, int rank);
bool signal_rank(int session, int rank, int signal);  // false when there is no such process
std::string read_whole(const std::filesystem::path& file);

// The JSON line on stdout, or the last one.
nlohmann::json last_json_line(const std::string& out);
// weights_hash by pipeline, out of a summary.
std::map<std::string, std::string> weights_hashes(const nlohmann::json& summary);

// Lines of a file that contain `part`; 0 when it is not there.
int count_lines(const std::filesystem::path& file, const std::string& part = "");

}  // namespace jigsaw
