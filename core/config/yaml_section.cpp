#include "core/config/yaml_section.h"

#include <yaml-cpp/yaml.h>

#include <cmath>
#include <set>
#include <sstream>

#include "core/nearest_name.h"

namespace jigsaw {
namespace {

std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> parts;
  std::stringstream stream(path);
  for (std::string part; std::getline(stream, part, '.');) parts.push_back(part);
  return parts;
}

// The list item whose `name` is `key`, or number `key`; -1 if there is none.
int list_index(const YAML::Node& list, const std::string& key) {
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i].IsMap() && list[i]["name"] && list[i]["name"].IsScalar() && list[i]["name"].Scalar() == key) {
      return static_cast<int>(i);
    }
  }
  if (!key.empty() && key.size() < 6 && key.find_first_not_of("0123456789") == std::string::npos) {
    const int index = std::stoi(key);
    if (index < static_cast<int>(list.size())) return index;
  }
  return -1;
}

void remove_path(YAML::Node node, const std::vector<std::string>& path, std::size_t depth) {
  if (depth + 1 == path.size()) {
    if (node.IsMap()) node.remove(path[depth]);
  } else if (path[depth] == "*" && node.IsSequence()) {
    for (YAML::Node item : node) remove_path(item, path, depth + 1);
  } else if (node.IsMap() && static_cast<const YAML::Node&>(node)[path[depth]].IsDefined()) {
    remove_path(node[path[depth]], path, depth + 1);
  }
}

}  // namespace

struct YamlSection::Document {
  std::string name;
  YAML::Node root;
  std::vector<std::string> errors;
};

struct YamlSection::State {
  std::shared_ptr<Document> document;
  YAML::Node node;  // a map, or undefined for an absent section
  std::string path;
  std::set<std::string> asked;

  std::string path_of(const std::string& key) const {
    if (path.empty()) return key;
    return key.empty() ? path : path + "." + key;
  }
  YAML::Node child(const std::string& key) const {
    if (!node.IsDefined() || !node.IsMap()) return YAML::Node(YAML::NodeType::Undefined);
    const YAML::Node found = static_cast<const YAML::Node&>(node)[key];
    // What a failed look-up returns cannot even be copied.
    return found.IsDefined() ? found : YAML::Node(YAML::NodeType::Undefined);
  }
  void error(const YAML::Node& at, const std::string& key, const std::string& message) const {
    const int line = at.IsDefined() ? at.Mark().line : (node.IsDefined() ? node.Mark().line : -1);
    std::string text = document->name;
    if (line >= 0) text += ":" + std::to_string(line + 1);
    const std::string where = path_of(key);
    document->errors.push_back(text + ": " + (where.empty() ? "" : where + ": ") + message);
  }
};

Result<YamlSection> YamlSection::parse(const std::string& text, const std::string& name) {
  if (text.size() > kYamlBytesMax) {
    return Error(ErrorCode::kInvalidArgument, name + ": larger than 1 MiB; this is no job file");
  }
  auto state = std::make_shared<State>();
  state->document = std::make_shared<Document>();
  state->document->name = name;
  try {
    state->document->root = YAML::Load(text);
  } catch (const YAML::Exception& error) {
    return Error(ErrorCode::kInvalidArgument,
                 name + ":" + std::to_string(error.mark.line + 1) + ": not valid YAML: " + error.msg);
  }
  if (!state->document->root.IsMap()) {
    return Error(ErrorCode::kInvalidArgument, name + ": expected a mapping (key: value lines) at the top");
  }
  state->node = state->document->root;
  return YamlSection(std::move(state));
}

Status YamlSection::set_all(const std::vector<std::string>& settings) {
  for (const std::string& setting : settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Error(ErrorCode::kInvalidArgument,
                   "--set " + setting + ": expected path=value, e.g. pipelines.0.train.steps=5");
    }
    JIGSAW_RETURN_IF_ERROR(set(setting.substr(0, equals), setting.substr(equals + 1)));
  }
  return ok_status();
}

Status YamlSection::set(const std::string& path, const std::string& value) {
  const auto parts = split_path(path);
  if (parts.empty()) return Error(ErrorCode::kInvalidArgument, "--set needs path=value");
  YAML::Node node = state_->node;
  try {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const bool last = i + 1 == parts.size();
      if (node.IsSequence()) {
        const int index = list_index(node, parts[i]);
        if (index < 0) {
          return Error(ErrorCode::kInvalidArgument,
                       "--set " + path + ": no item '" + parts[i] + "' (by name, or by number from 0) in this list");
        }
        if (last)
          node[index] = YAML::Load(value);
        else
          node.reset(node[index]);
      } else {
        if (node.IsDefined() && !node.IsMap() && !node.IsNull()) {
          return Error(ErrorCode::kInvalidArgument, "--set " + path + ": '" + parts[i - 1] + "' has no keys below it");
        }
        if (last)
          node[parts[i]] = YAML::Load(value);
        else
          node.reset(node[parts[i]]);
      }
    }
  } catch (const YAML::Exception& error) {
    return Error(ErrorCode::kInvalidArgument, "--set " + path + ": " + error.msg);
  }
  return ok_status();
}

void YamlSection::append_items(const std::string& key, const YamlSection& other) {
  for (const auto& item : other.state_->child(key)) state_->node[key].push_back(YAML::Clone(item));
}

bool YamlSection::has(const std::string& key) const { return state_->child(key).IsDefined(); }
bool YamlSection::is_map(const std::string& key) const { return has(key) && state_->child(key).IsMap(); }
bool YamlSection::is_list(const std::string& key) const { return has(key) && state_->child(key).IsSequence(); }

template <typename T>
bool YamlSection::read_scalar(const std::string& key, T& value, const char* expected) {
  state_->asked.insert(key);
  const YAML::Node node = state_->child(key);
  if (!node.IsDefined()) return false;
  T converted{};
  if (!node.IsScalar() || !YAML::convert<T>::decode(node, converted)) {
    std::string found = node.IsScalar() ? "'" + node.Scalar().substr(0, 60) + "'"
                                        : (node.IsNull() ? "nothing" : (node.IsMap() ? "a mapping" : "a list"));
    state_->error(node, key, std::string("expected ") + expected + ", found " + found);
    return false;
  }
  value = converted;
  return true;
}

namespace {

template <typename T>
std::string range_message(T value, T min, T max) {
  std::ostringstream text;
  if (value < min)
    text << value << " is below " << min;
  else
    text << value << " is above " << max;
  return text.str();
}

}  // namespace

void YamlSection::read(const std::string& key, std::string& value) { read_scalar(key, value, "text"); }
void YamlSection::read(const std::string& key, bool& value) { read_scalar(key, value, "true or false"); }

void YamlSection::read(const std::string& key, int& value, int min, int max) {
  std::int64_t wide = value;
  read(key, wide, min, max);
  value = static_cast<int>(wide);
}

void YamlSection::read(const std::string& key, std::int64_t& value, std::int64_t min, std::int64_t max) {
  std::int64_t read_value = 0;
  if (!read_scalar(key, read_value, "a whole number")) return;
  if (read_value < min || read_value > max) {
    state_->error(state_->child(key), key, range_message(read_value, min, max));
    return;
  }
  value = read_value;
}

void YamlSection::read(const std::string& key, std::uint64_t& value) {
  read_scalar(key, value, "a whole number of 0 or more");
}

void YamlSection::read(const std::string& key, double& value, double min, double max) {
  double read_value = 0;
  if (!read_scalar(key, read_value, "a number")) return;
  if (!std::isfinite(read_value)) {
    state_->error(state_->child(key), key, "expected a finite number");
  } else if (read_value < min || read_value > max) {
    state_->error(state_->child(key), key, range_message(read_value, min, max));
  } else {
    value = read_value;
  }
}

void YamlSection::read(const std::string& key, std::vector<std::string>& values) {
  state_->asked.insert(key);
  const YAML::Node node = state_->child(key);
  if (!node.IsDefined()) return;
  if (!node.IsSequence()) {
    state_->error(node, key, "expected a list of texts");
    return;
  }
  values.clear();
  for (const YAML::Node& item : node) {
    if (item.IsScalar())
      values.push_back(item.Scalar());
    else
      state_->error(item, key, "expected a list of texts");
  }
}

void YamlSection::read(const std::string& key, std::vector<double>& values, double min, double max) {
  state_->asked.insert(key);
  const YAML::Node node = state_->child(key);
  if (!node.IsDefined()) return;
  if (!node.IsSequence()) {
    state_->error(node, key, "expected a list of numbers");
    return;
  }
  std::vector<double> read_values;
  for (std::size_t i = 0; i < node.size(); ++i) {
    const std::string item = key + "[" + std::to_string(i) + "]";
    double value = 0;
    if (!node[i].IsScalar() || !YAML::convert<double>::decode(node[i], value) || !std::isfinite(value))
      state_->error(node[i], item, "expected a finite number");
    else if (value < min || value > max)
      state_->error(node[i], item, range_message(value, min, max));
    else
      read_values.push_back(value);
  }
  if (read_values.size() == node.size()) values = std::move(read_values);
}

std::map<std::string, std::string> YamlSection::read_rest() {
  std::map<std::string, std::string> rest;
  if (!state_->node.IsDefined() || !state_->node.IsMap()) return rest;
  for (const auto& entry : state_->node) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
    if (state_->asked.contains(key)) continue;
    state_->asked.insert(key);
    if (entry.second.IsScalar())
      rest[key] = entry.second.Scalar();
    else
      state_->error(entry.second, key, "expected a single value");
  }
  return rest;
}

void YamlSection::read_choice(const std::string& key, std::string& value, const std::vector<std::string>& names) {
  std::string chosen;
  if (!read_scalar(key, chosen, "text")) return;
  for (const std::string& name : names) {
    if (name == chosen) {
      value = chosen;
      return;
    }
  }
  state_->error(state_->child(key), key, unknown_name_message("value", chosen, names));
}

void YamlSection::require(const std::string& key) {
  if (!has(key)) state_->error(state_->node, key, "missing");
}

YamlSection YamlSection::section(const std::string& key) {
  state_->asked.insert(key);
  auto state = std::make_shared<State>();
  state->document = state_->document;
  state->path = state_->path_of(key);
  state->node = state_->child(key);
  if (state->node.IsDefined() && !state->node.IsMap()) {
    state_->error(state->node, key, "expected a mapping (key: value lines)");
    state->node = YAML::Node(YAML::NodeType::Undefined);
  }
  return YamlSection(std::move(state));
}

std::vector<YamlSection> YamlSection::list(const std::string& key) {
  state_->asked.insert(key);
  std::vector<YamlSection> items;
  const YAML::Node node = state_->child(key);
  if (!node.IsDefined()) return items;
  if (!node.IsSequence()) {
    state_->error(node, key, "expected a list");
    return items;
  }
  for (std::size_t i = 0; i < node.size(); ++i) {
    if (!node[i].IsMap()) {
      state_->error(node[i], key + "[" + std::to_string(i) + "]", "expected a mapping (key: value lines)");
      continue;
    }
    auto state = std::make_shared<State>();
    state->document = state_->document;
    state->path = state_->path_of(key) + "[" + std::to_string(i) + "]";
    state->node = node[i];
    items.push_back(YamlSection(std::move(state)));
  }
  return items;
}

void YamlSection::add_error(const std::string& key, const std::string& message) {
  state_->error(key.empty() ? state_->node : state_->child(key), key, message);
}

void YamlSection::finish() {
  if (!state_->node.IsDefined() || !state_->node.IsMap()) return;
  const std::vector<std::string> known(state_->asked.begin(), state_->asked.end());
  std::set<std::string> seen;
  for (const auto& entry : state_->node) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
    if (!state_->asked.contains(key))
      state_->error(entry.first, "", unknown_name_message("key", key, known));
    else if (!seen.insert(key).second)
      state_->error(entry.first, key, "given twice");
  }
}

std::string YamlSection::errors() const {
  std::string all;
  for (const std::string& error : state_->document->errors) all += (all.empty() ? "" : "\n") + error;
  return all;
}

std::string YamlSection::to_yaml() const { return YAML::Dump(state_->document->root) + "\n"; }

std::string YamlSection::without(const std::vector<std::string>& paths) const {
  YAML::Node copy = YAML::Clone(state_->document->root);
  for (const std::string& path : paths) remove_path(copy, split_path(path), 0);
  return YAML::Dump(copy) + "\n";
}

}  // namespace jigsaw
