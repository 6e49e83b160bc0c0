// report: one HTML page of a run, with curves drawn as SVG; no scripts, nothing fetched.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

#include "core/files.h"
#include "examples/cli/commands.h"
#include "examples/cli/json_lines.h"

namespace jigsaw::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kWidth = 420, kHeight = 170, kMargin = 44;
constexpr std::size_t kExamples = 6;

using Curve = std::vector<std::pair<double, double>>;  // step, value

std::string escape(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '<': safe += "&lt;"; break;
      case '>': safe += "&gt;"; break;
      case '&': safe += "&amp;"; break;
      case '"': safe += "&quot;"; break;
      default: safe += c;
    }
  }
  return safe;
}

std::string chart(const std::string& title, const Curve& curve) {
  if (curve.empty()) return "";
  double low = curve[0].second, high = low;
  for (const auto& [step, value] : curve) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (high - low < 1e-12) high = low + 1;
  const double first = curve.front().first, last = std::max(curve.back().first, first + 1);
  std::string points;
  for (const auto& [step, value] : curve) {
    const double x = kMargin + (step - first) / (last - first) * (kWidth - kMargin - 10);
    const double y = 14 + (high - value) / (high - low) * (kHeight - 40);
    points += fmt::format("{:.1f},{:.1f} ", x, y);
  }
  return fmt::format(
      "<figure><figcaption>{}</figcaption><svg viewBox='0 0 {} {}' width='{}' height='{}'>"
      "<rect x='{}' y='14' width='{}' height='{}' class='frame'/>"
      "<text x='{}' y='20' text-anchor='end'>{:.3g}</text><text x='{}' y='{}' text-anchor='end'>{:.3g}</text>"
      "<text x='{}' y='{}'>step {:.0f}</text><text x='{}' y='{}' text-anchor='end'>{:.0f}</text>"
      "<polyline points='{}'/></svg></figure>\n",
      escape(title), kWidth, kHeight, kWidth, kHeight, kMargin, kWidth - kMargin - 10, kHeight - 40, kMargin - 4, high,
      kMargin - 4, kHeight - 26, low, kMargin, kHeight - 8, first, kWidth - 10, kHeight - 8, last, points);
}

struct PipelineReport {
  std::map<std::string, Curve> curves;
  std::string weights_hash;
};

constexpr std::pair<const char*, const char*> kCurves[] = {{"reward_mean", "reward"},
                                                           {"completion_length", "completion length (tokens)"},
                                                           {"entropy", "entropy (nats a token)"},
                                                           {"loss", "loss"},
                                                           {"grad_norm", "gradient norm"},
                                                           {"kl", "KL"},
                                                           {"lr", "learning rate"},
                                                           {"tokens_per_s", "tokens a second"},
                                                           {"step_s", "step (s)"}};

Result<std::map<std::string, PipelineReport>> read_metrics(const fs::path& file) {
  std::map<std::string, PipelineReport> pipelines;
  JIGSAW_RETURN_IF_ERROR(for_each_json_line(file.string(), [&](const nlohmann::json& line) -> Status {
    PipelineReport& pipeline = pipelines[line.value("pipeline", "?")];
    const double step = line.value("step", 0.0);
    for (const auto& [key, title] : kCurves) {
      if (line.contains(key) && line[key].is_number()) pipeline.curves[key].emplace_back(step, line[key].get<double>());
    }
    const double samples = line.value("samples", 0.0);
    if (samples > 0)
      pipeline.curves["completion_length"].emplace_back(step, line.value("completion_tokens", 0.0) / samples);
    pipeline.weights_hash = line.value("weights_hash", "");
    return ok_status();
  }));
  return pipelines;
}

// The last few completions of the trajectory log.
std::string examples_of(const fs::path& file) {
  std::vector<nlohmann::json> last;
  (void)for_each_json_line(file.string(), [&](const nlohmann::json& line) -> Status {
    if (last.size() == kExamples) last.erase(last.begin());
    last.push_back(line);
    return ok_status();
  });
  if (last.empty()) return "";
  std::string rows =
      "<h3>Last completions</h3><table><tr><th>step</th><th>reward</th><th>prompt</th><th>completion</th></tr>\n";
  for (const nlohmann::json& line : last) {
    rows +=
        fmt::format("<tr><td>{}</td><td>{:.3f}</td><td><pre>{}</pre></td><td><pre>{}</pre></td></tr>\n",
                    line.value("step", 0), line.value("reward", 0.0), escape(line.value("prompt", "").substr(0, 400)),
                    escape(line.value("completion", "").substr(0, 800)));
  }
  return rows + "</table>\n";
}

std::string summary_table(const fs::path& file) {
  std::ifstream stream(file);
  const nlohmann::json summary = nlohmann::json::parse(stream, nullptr, false);
  if (!summary.is_object()) return "<p>This run has not come to its end.</p>\n";
  std::string html = fmt::format(
      "<p>Policy <b>{}</b>, {:.1f} s, {} tokens, {:.0f} tokens a second, workers busy {:.0f} % of the time.</p>\n"
      "<table><tr><th>pipeline</th><th>steps</th><th>reward first</th><th>reward last</th><th>s a step</th>"
      "<th>latency factor</th><th>weights hash</th></tr>\n",
      escape(summary.value("policy", "")), summary.value("wall_s", 0.0), summary.value("tokens", 0),
      summary.value("tokens_per_s", 0.0), summary.value("worker_busy_share", 0.0) * 100);
  for (const nlohmann::json& pipeline : summary.value("pipelines", nlohmann::json::array())) {
    html += fmt::format(
        "<tr><td>{}</td><td>{}</td><td>{:.3f}</td><td>{:.3f}</td><td>{:.3f}</td><td>{:.2f}</td><td><code>{}</code></"
        "td></tr>\n",
        escape(pipeline.value("name", "")), pipeline.value("steps", 0), pipeline.value("reward_first", 0.0),
        pipeline.value("reward_last", 0.0), pipeline.value("step_s_mean", 0.0), pipeline.value("latency_factor", 0.0),
        escape(pipeline.value("weights_hash", "")));
  }
  return html + "</table>\n";
}

Result<std::string> write_report(const fs::path& run, const std::string& out) {
  if (!fs::exists(run / "metrics.jsonl")) {
    return Error(ErrorCode::kNotFound, run.string() + ": holds no metrics.jsonl; give the --out folder of a run");
  }
  JIGSAW_ASSIGN_OR_RETURN(const auto pipelines, read_metrics(run / "metrics.jsonl"));
  std::string html =
      "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Jigsaw run</title><style>"
      "body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1340px;color:#222;padding:0 1em}"
      "figure{display:inline-block;margin:0 12px 12px 0}figcaption{font-weight:600;font-size:13px}"
      "svg "
      "text{font-size:11px;fill:#666}polyline{fill:none;stroke:#2563eb;stroke-width:1.6}.frame{fill:#f8fafc;stroke:#"
      "d4d4d8}"
      "table{border-collapse:collapse;margin:.6em 0}th,td{border-bottom:1px solid #ddd;padding:4px "
      "10px;text-align:left;vertical-align:top}"
      "pre{margin:0;white-space:pre-wrap;max-width:520px}code{font-size:12px}</style></head><body>\n";
  html += fmt::format("<h1>Jigsaw run: {}</h1>\n", escape(fs::absolute(run).filename().string())) +
          summary_table(run / "summary.json");
  for (const auto& [name, pipeline] : pipelines) {
    html += fmt::format("<h2>{}</h2>\n", escape(name));
    for (const auto& [key, title] : kCurves) {
      const auto curve = pipeline.curves.find(key);
      if (curve == pipeline.curves.end()) continue;
      const bool all_zero =
          std::all_of(curve->second.begin(), curve->second.end(), [](const auto& point) { return point.second == 0; });
      if (!all_zero) html += chart(title, curve->second);
    }
    html += examples_of(run / "trajectories" / (name + ".jsonl"));
  }
  html += "</body></html>\n";
  const fs::path file = out.empty() ? run / "report.html" : fs::path(out);
  JIGSAW_RETURN_IF_ERROR(write_file_atomically(file, html));
  return file.string();
}

}  // namespace

void add_report(CLI::App& app, int& exit_code) {
  auto run = std::make_shared<std::string>();
  auto out = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("report", "Writes an HTML page of a run: curves, summary, last completions");
  command->add_option("run", *run, "The --out folder of a run")->required();
  command->add_option("--out", *out, "File to write; default report.html in the run's folder");
  command->callback([run, out, &exit_code] {
    const Result<std::string> file = write_report(*run, *out);
    if (file.ok()) std::fprintf(stderr, "wrote %s\n", file->c_str());
    exit_code = file.ok() ? kDone : report_error(file.error());
  });
}

}  // namespace jigsaw::cli
