// compare: the same job under several policies, side by side.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/files.h"
#include "core/median.h"
#include "examples/cli/commands.h"
#include "examples/cli/run_job.h"
#include "examples/cli/signals.h"
#include "examples/cli/simulated_job.h"
#include "scheduler/policy.h"

namespace jigsaw::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct CompareRequest {
  RunRequest run;
  std::string profile;
  std::vector<std::string> policies;  // empty: all
  int repeat = 1;
  bool simulate = false, all_pairs = false, json = false;
};

// The baseline is first, whether it was asked for or not.
Result<std::vector<std::string>> policies_of(const CompareRequest& request) {
  std::vector<std::string> policies = {"serial"};
  for (const std::string& name : request.policies.empty() ? policy_names() : request.policies) {
    JIGSAW_RETURN_IF_ERROR(check_policy(name));
    if (std::find(policies.begin(), policies.end(), name) == policies.end()) policies.push_back(name);
  }
  return policies;
}

// Of repeats of one policy: the run of median wall time, with the times of all.
Json median_run(std::vector<Json> runs) {
  std::vector<double> walls;
  for (const Json& run : runs) walls.push_back(run["wall_s"]);
  const double middle = median(walls);
  const auto nearest = std::min_element(runs.begin(), runs.end(), [&](const Json& a, const Json& b) {
    return std::abs(a["wall_s"].get<double>() - middle) < std::abs(b["wall_s"].get<double>() - middle);
  });
  Json result = *nearest;
  result["runs"] = runs.size();
  result["wall_s"] = middle;
  result["wall_s_of_runs"] = walls;
  result["tokens_per_s"] = middle > 0 ? result["tokens"].get<double>() / middle : 0.0;
  return result;
}

void add_speedups(std::vector<Json>& results) {
  const double serial_s = results.front()["wall_s"];
  for (Json& result : results) {
    const double wall_s = result["wall_s"];
    result["speedup_vs_serial"] = wall_s > 0 ? serial_s / wall_s : 0.0;
  }
}

void print_table(const std::vector<Json>& results) {
  const double serial_busy = results.front()["worker_busy_share"];
  std::string text = fmt::format("\n{:<16} {:>10} {:>12} {:>7} {:>9} {:>14}  {}\n", "policy", "wall s", "tokens/s",
                                 "busy", "gain", "latency", "weights");
  for (const Json& result : results) {
    std::string latency, weights;
    for (const Json& pipeline : result["pipelines"]) {
      latency += fmt::format("{}{:.2f}", latency.empty() ? "" : " ", pipeline["latency_factor"].get<double>());
      weights += (weights.empty() ? "" : " ") + pipeline["weights_hash"].get<std::string>().substr(0, 8);
    }
    text += fmt::format("{:<16} {:>10.2f} {:>12.1f} {:>6.0f}% {:>8.3f}x {:>14}  {}\n",
                        result["policy"].get<std::string>(), result["wall_s"].get<double>(),
                        result["tokens_per_s"].get<double>(), 100 * result["worker_busy_share"].get<double>(),
                        result["speedup_vs_serial"].get<double>(), latency, weights);
  }
  text += fmt::format("\nserial keeps workers busy {:.0f} % of the time, which bounds the gain at {:.2f}x\n",
                      100 * serial_busy, serial_busy > 0 ? 1 / serial_busy : 0.0);
  std::fprintf(stderr, "%s", text.c_str());
}

// The promise: the schedule never changes the training.
Status check_same_weights(const std::vector<Json>& results) {
  for (const Json& result : results) {
    for (std::size_t i = 0; i < result["pipelines"].size(); ++i) {
      const Json &ours = result["pipelines"][i], &serial = results.front()["pipelines"][i];
      if (ours["weights_hash"] == serial["weights_hash"]) continue;
      return Error(ErrorCode::kInternal, "pipeline '" + ours["name"].get<std::string>() +
                                             "' ended in other weights under '" + result["policy"].get<std::string>() +
                                             "' (" + ours["weights_hash"].get<std::string>() +
                                             ") than under 'serial' (" + serial["weights_hash"].get<std::string>() +
                                             "): this is a bug of Jigsaw, please report it with the job file");
    }
  }
  return ok_status();
}

Result<Json> run_once(RunRequest request, const std::string& policy, const fs::path& folder) {
  request.policy = policy;
  request.out = folder.string();
  request.quiet = true;
  JIGSAW_ASSIGN_OR_RETURN(const Job job, read_request(request));
  if (job.config.workers == 0) {
    JIGSAW_ASSIGN_OR_RETURN(const RunSummary summary, run_in_process(request));
    return Json::parse(to_json(summary));
  }
  const int code = run_with_mpirun(request, job.config.workers);
  if (code != kDone) {
    return Error(ErrorCode::kInternal, "the run under '" + policy + "' failed with exit code " + std::to_string(code) +
                                           "; its logs are in " + (folder / "logs").string());
  }
  if (stop_requested().load()) return Error(ErrorCode::kCancelled, "stopped");
  JIGSAW_ASSIGN_OR_RETURN(const std::string text, read_text_file(folder / "summary.json", 1 << 24));
  return Json::parse(text);
}

Result<std::vector<Json>> compare_real(const CompareRequest& request, const std::vector<std::string>& policies) {
  const fs::path root = request.run.out.empty()
                            ? fs::path("runs") / ("compare-" + fs::path(request.run.job_file).stem().string())
                            : fs::path(request.run.out);
  std::map<std::string, std::vector<Json>> runs;
  // Policies take turns, so that a machine that becomes slower does so for all.
  for (int round = 1; round <= request.repeat; ++round) {
    for (const std::string& policy : policies) {
      const fs::path folder = root / (policy + "-" + std::to_string(round));
      std::error_code ignored;
      fs::remove_all(folder, ignored);  // of an earlier comparison
      JIGSAW_ASSIGN_OR_RETURN(Json run, run_once(request.run, policy, folder));
      std::fprintf(stderr, "%s, run %d of %d: %.2f s\n", policy.c_str(), round, request.repeat,
                   run["wall_s"].get<double>());
      runs[policy].push_back(std::move(run));
    }
  }
  std::vector<Json> results;
  for (const std::string& policy : policies) results.push_back(median_run(runs[policy]));
  JIGSAW_RETURN_IF_ERROR(check_same_weights(results));
  return results;
}

Result<std::vector<Json>> simulate_under(const SimulatedJob& job, const std::vector<SimulatedPipeline>& pipelines,
                                         const std::vector<std::string>& policies) {
  std::vector<Json> results;
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<double> alone_s, alone_step_s(pipelines, job.capacity()));
  for (const std::string& name : policies) {
    JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<Policy> policy, make_policy(name));
    JIGSAW_ASSIGN_OR_RETURN(const RunSummary summary, simulate(pipelines, *policy, job.capacity(), {}, alone_s));
    results.push_back(Json::parse(to_json(summary)));
  }
  add_speedups(results);
  return results;
}

// What came of all pairs: gains over serial and latency factors, by policy; a value a pair.
struct PairFigures {
  std::map<std::string, std::vector<double>> gains, latencies;
  std::vector<double> identities;  // of lookahead with two equal pipelines: gain x latency factor
  int pairs = 0, behind_greedy = 0;
};

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::string pairs_text(const PairFigures& figures, const std::vector<std::string>& policies) {
  std::string text = fmt::format("{:<16} {:>10} {:>10} {:>10} {:>22} {:>23}\n", "policy", "mean gain", "least", "most",
                                 "latency mean (range)", "lookahead over it, most");
  const auto lookahead = figures.gains.find("lookahead");
  for (const std::string& policy : policies) {
    const std::vector<double>&gains = figures.gains.at(policy), &latencies = figures.latencies.at(policy);
    const auto [least, most] = std::minmax_element(gains.begin(), gains.end());
    const auto [shortest, longest] = std::minmax_element(latencies.begin(), latencies.end());
    text += fmt::format("{:<16} {:>9.3f}x {:>9.3f}x {:>9.3f}x {:>22}", policy, mean_of(gains), *least, *most,
                        fmt::format("{:.2f} ({:.2f} to {:.2f})", mean_of(latencies), *shortest, *longest));
    if (lookahead != figures.gains.end() && policy != "lookahead") {
      std::vector<double> over;
      for (std::size_t i = 0; i < gains.size(); ++i) over.push_back(lookahead->second[i] / gains[i]);
      text += fmt::format(" {:>14.3f}x, {:.3f}x", mean_of(over), *std::max_element(over.begin(), over.end()));
    }
    text += "\n";
  }
  if (lookahead == figures.gains.end()) return text;
  if (figures.gains.contains("greedy")) {
    text += fmt::format("lookahead is more than 0.5 % behind greedy on {} of {} pairs\n", figures.behind_greedy,
                        figures.pairs);
  }
  if (!figures.identities.empty()) {
    const auto [least, most] = std::minmax_element(figures.identities.begin(), figures.identities.end());
    text +=
        fmt::format("gain x latency factor of two equal pipelines under lookahead: {:.3f} to {:.3f}\n", *least, *most);
  }
  return text;
}

// Every two pipelines of the job by themselves, each with as many steps as make both last about as long; prints a line
// a pair and what comes of all.
Status compare_pairs(const CompareRequest& request, const SimulatedJob& job, const std::vector<std::string>& policies) {
  const std::size_t count = job.pipelines.size();
  std::vector<SimulatedPipeline> short_ones = job.pipelines;
  for (SimulatedPipeline& pipeline : short_ones) pipeline.spec.steps = std::min<std::int64_t>(pipeline.spec.steps, 3);
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<double> alone_s, alone_step_s(short_ones, job.capacity()));
  PairFigures figures;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = i; j < count; ++j) {
      std::vector<SimulatedPipeline> pair = {job.pipelines[i], job.pipelines[j]};
      if (i == j) pair[1].spec.name += "-2";
      const double longer_s = std::max(alone_s[i], alone_s[j]);
      pair[0].spec.steps = std::llround(static_cast<double>(pair[0].spec.steps) * longer_s / alone_s[i]);
      pair[1].spec.steps = std::llround(static_cast<double>(pair[1].spec.steps) * longer_s / alone_s[j]);
      JIGSAW_ASSIGN_OR_RETURN(const std::vector<Json> results, simulate_under(job, pair, policies));
      Json line = {{"kind", "simulated"}, {"pair", {job.pipelines[i].spec.name, job.pipelines[j].spec.name}}};
      std::map<std::string, double> of_pair;
      for (const Json& result : results) {
        const std::string policy = result["policy"];
        of_pair[policy] = result["speedup_vs_serial"];
        figures.gains[policy].push_back(of_pair[policy]);
        double latency = 0;
        for (const Json& pipeline : result["pipelines"]) latency += pipeline["latency_factor"].get<double>() / 2;
        figures.latencies[policy].push_back(latency);
        line["speedup_vs_serial"][policy] = of_pair[policy];
        line["latency_factor"][policy] = latency;
        if (i == j && policy == "lookahead") figures.identities.push_back(of_pair[policy] * latency);
      }
      ++figures.pairs;
      if (of_pair.contains("greedy") && of_pair.contains("lookahead") &&
          of_pair["lookahead"] < 0.995 * of_pair["greedy"]) {
        ++figures.behind_greedy;
        line["lookahead_behind_greedy"] = true;
      }
      if (request.json) std::printf("%s\n", line.dump().c_str());
    }
  }
  std::fprintf(stderr, "\n%d pairs, %d workers, simulated on %s\n%s", figures.pairs, job.num_workers,
               job.profile.name.c_str(), pairs_text(figures, policies).c_str());
  return ok_status();
}

Status compare(const CompareRequest& request) {
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<std::string> policies, policies_of(request));
  std::vector<Json> results;
  if (request.simulate || request.all_pairs) {
    JIGSAW_ASSIGN_OR_RETURN(const SimulatedJob job, read_simulated_job(simulation_of(request.run, request.profile)));
    if (request.all_pairs) return compare_pairs(request, job, policies);
    JIGSAW_ASSIGN_OR_RETURN(results, simulate_under(job, job.pipelines, policies));
  } else {
    JIGSAW_ASSIGN_OR_RETURN(results, compare_real(request, policies));
    add_speedups(results);
  }
  if (request.json) std::printf("%s\n", Json(results).dump().c_str());
  print_table(results);
  return ok_status();
}

}  // namespace

void add_compare(CLI::App& app, int& exit_code) {
  auto request = std::make_shared<CompareRequest>();
  CLI::App* command = app.add_subcommand("compare", "The same job under several policies, side by side");
  command->add_option("job", request->run.job_file, "Job file (YAML)")->required();
  command->add_option("--policies", request->policies, "Comma-separated; default: all. serial is always compared with")
      ->delimiter(',');
  command->add_flag("--simulate", request->simulate, "On simulated workers; runs no model");
  command->add_flag("--all-pairs", request->all_pairs, "Simulate every two pipelines of the job by themselves");
  command->add_option("--repeat", request->repeat, "Runs of each policy; the median counts")->check(CLI::Range(1, 100));
  command->add_option("--workers", request->run.workers, "Workers; 0 = all in this process")
      ->check(CLI::Range(0, 4096));
  command->add_option("--profile", request->profile, "Profile file of a simulation; default: what the job names");
  command->add_option("--out", request->run.out, "Folder of the runs; default runs/compare-<job>");
  command->add_option("--set", request->run.settings, "path=value in the job; may be repeated");
  command->add_flag("--json", request->json, "Print a JSON list of the outcomes on stdout, or a line a pair");
  command->callback([request, &exit_code] { exit_code = exit_code_of(compare(*request)); });
}

}  // namespace jigsaw::cli
