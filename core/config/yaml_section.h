// Reading YAML into typed structs: each field is asked for by name, all problems are collected with file, line and
// path, and keys nobody asked for are errors that suggest the nearest one. yaml-cpp stays in the .cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"

namespace jigsaw {

// Of a document; larger ones are refused.
inline constexpr std::size_t kYamlBytesMax = std::size_t{1} << 20;

class YamlSection {
 public:
  // A whole document: a mapping. `name` stands for the file in errors.
  static Result<YamlSection> parse(const std::string& text, const std::string& name);

  // Sets "a.b.c" (list items by number, or by their `name` field) to a YAML value, as `--set path=value` asks. Before
  // any read.
  Status set(const std::string& path, const std::string& value);
  // The same for each "path=value", as `--set` is given on command lines.
  Status set_all(const std::vector<std::string>& settings);

  // Puts the items of the other document's list `key` behind those of this one's.
  void append_items(const std::string& key, const YamlSection& other);

  bool has(const std::string& key) const;
  bool is_map(const std::string& key) const;
  bool is_list(const std::string& key) const;

  // Each leaves `value` alone when the key is absent; a wrong type or range becomes an error.
  void read(const std::string& key, std::string& value);
  void read(const std::string& key, bool& value);
  void read(const std::string& key, int& value, int min = std::numeric_limits<int>::min(),
            int max = std::numeric_limits<int>::max());
  void read(const std::string& key, std::int64_t& value, std::int64_t min, std::int64_t max);
  void read(const std::string& key, std::uint64_t& value);
  void read(const std::string& key, double& value, double min = -std::numeric_limits<double>::max(),
            double max = std::numeric_limits<double>::max());
  void read(const std::string& key, std::vector<std::string>& values);
  void read(const std::string& key, std::vector<double>& values, double min = -std::numeric_limits<double>::max(),
            double max = std::numeric_limits<double>::max());
  // All keys not read so far, as text: for options that their owner checks.
  std::map<std::string, std::string> read_rest();
  // One of `names`.
  void read_choice(const std::string& key, std::string& value, const std::vector<std::string>& names);
  void require(const std::string& key);

  // The mapping under `key`; empty when absent. Its errors join this section's.
  YamlSection section(const std::string& key);
  std::vector<YamlSection> list(const std::string& key);

  // An error at `key` ("" = the section itself).
  void add_error(const std::string& key, const std::string& message);
  // Reports every key that nothing read. Call once per section, after all reads.
  void finish();
  // Everything wrong in the document so far, one line a problem; empty when all is well.
  std::string errors() const;
  // The document as YAML text (after set()).
  std::string to_yaml() const;
  // The same less the keys at these paths ("a.b"; * stands for every item of a list).
  std::string without(const std::vector<std::string>& paths) const;

 private:
  struct Document;
  struct State;
  explicit YamlSection(std::shared_ptr<State> state) : state_(std::move(state)) {}
  template <typename T>
  bool read_scalar(const std::string& key, T& value, const char* expected);

  std::shared_ptr<State> state_;
};

}  // namespace jigsaw
