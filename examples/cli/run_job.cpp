#include "examples/cli/run_job.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "core/config/yaml_section.h"
#include "core/files.h"
#include "core/log.h"
#include "core/transport/inproc_peer_links.h"
#include "core/transport/inproc_transport.h"
#include "examples/cli/commands.h"
#include "examples/cli/control_file.h"
#include "examples/cli/exit_file.h"
#include "examples/cli/progress.h"
#include "examples/cli/signals.h"
#include "scheduler/controller.h"
#include "scheduler/cost/profile.h"
#include "scheduler/run_folder.h"
#include "workers/job/pipeline_rules.h"
#include "workers/launch/mpi_session.h"
#include "workers/launch/mpirun.h"
#include "workers/pipeline_runtime.h"
#include "workers/worker_loop.h"

namespace jigsaw::cli {
namespace {

namespace fs = std::filesystem;

// Set by run_with_mpirun for rank 0, whose own stderr is a pipe: the width of the user's terminal.
constexpr char kColumnsVariable[] = "JIGSAW_TERMINAL_COLUMNS";

int terminal_columns() {
  if (const char* told = std::getenv(kColumnsVariable)) return std::atoi(told);
  winsize size{};
  if (::isatty(STDERR_FILENO) == 0) return 0;
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::uint64_t machine_memory_bytes() {
  return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

WorkerOptions worker_options(const JobConfig& config, PeerId worker, int num_workers) {
  WorkerOptions options;
  options.worker = worker;
  options.num_threads = threads_of_worker(config, num_workers);
  options.memory_bytes_max = memory_limit(config, num_workers);
  options.controller_timeout = config.worker_timeout;
  return options;
}

// Everybody who watches a run.
class Observers : public RunObserver {
 public:
  Observers(RunFolder& folder, Progress* progress) : folder_(folder), progress_(progress) {}
  Status on_step(const StepReport& report) override {
    if (progress_ != nullptr) JIGSAW_RETURN_IF_ERROR(progress_->on_step(report));
    return folder_.on_step(report);
  }
  Status on_checkpoint(int pipeline, std::int64_t step, const std::string& folder) override {
    return folder_.on_checkpoint(pipeline, step, folder);
  }
  void on_sample(int pipeline, std::int64_t step, int done, int total) override {
    if (progress_ != nullptr) progress_->on_sample(pipeline, step, done, total);
  }
  void on_tick() override {
    if (progress_ != nullptr) progress_->on_tick();
  }
  Status on_added(const Addition& addition) override {
    JIGSAW_RETURN_IF_ERROR(folder_.on_added(addition));
    return progress_ != nullptr ? progress_->on_added(addition) : ok_status();
  }

 private:
  RunFolder& folder_;
  Progress* progress_;
};

// What decides about the tokens and weights of a job, as text: --resume compares it. Steps, checkpoints, and all
// that is about where and when things run are not in it.
std::string training_identity(const Job& job) {
  YamlSection yaml = *YamlSection::parse(job.yaml, "job.yaml");
  return yaml.without({"workers", "threads_per_worker", "policy", "memory_gb_per_worker", "worker_timeout_s", "bins",
                       "merge", "merge_by", "bind_cores", "profile", "pipelines.*.weight", "pipelines.*.latency_cap",
                       "pipelines.*.deadline", "pipelines.*.checkpoint", "pipelines.*.train.steps"});
}

Result<Job> read_without_added(const RunRequest& request) {
  std::vector<std::string> settings = request.settings;
  if (request.workers >= 0) settings.push_back("workers=" + std::to_string(request.workers));
  if (!request.policy.empty()) settings.push_back("policy=" + request.policy);
  return read_job_file(request.job_file, settings);
}

// Pipelines that a run has taken in so far, as its folder keeps them; empty when there are none.
Result<std::string> added_to(const fs::path& out) {
  std::error_code error;
  if (!fs::exists(RunFolder::added_file(out), error)) return std::string();
  return read_text_file(RunFolder::added_file(out), kYamlBytesMax);
}

// What `jigsaw ctl add` asks for.
Result<Addition> extend(const RunRequest& request, const std::string& job_yaml, const std::string& yaml,
                        const std::string& file) {
  const fs::path name = fs::absolute(request.job_file);
  JIGSAW_ASSIGN_OR_RETURN(const Job before, read_job(job_yaml, name));
  JIGSAW_ASSIGN_OR_RETURN(const Job job, extended_job(before, name, yaml, file));
  JIGSAW_ASSIGN_OR_RETURN(std::vector<PipelineSpec> specs, to_specs(job.config));
  specs.erase(specs.begin(), specs.begin() + static_cast<std::ptrdiff_t>(before.config.pipelines.size()));
  JIGSAW_ASSIGN_OR_RETURN(const std::string added_before, added_to(out_folder(request)));
  JIGSAW_ASSIGN_OR_RETURN(YamlSection added,
                          YamlSection::parse(added_before.empty() ? "pipelines: []" : added_before, "added.yaml"));
  JIGSAW_ASSIGN_OR_RETURN(const YamlSection further, YamlSection::parse(yaml, file));
  added.append_items("pipelines", further);
  return Addition{.job_yaml = job.yaml, .added_yaml = added.to_yaml(), .specs = std::move(specs)};
}

struct Prepared {
  Job job;
  std::vector<PipelineSpec> specs;
  std::unique_ptr<Policy> policy;
  Profile profile;
  std::unique_ptr<RunFolder> folder;
};

Result<Prepared> prepare(const RunRequest& request) {
  Prepared prepared;
  JIGSAW_ASSIGN_OR_RETURN(prepared.job, read_request(request));
  JIGSAW_ASSIGN_OR_RETURN(const Job without_added, read_without_added(request));
  JIGSAW_ASSIGN_OR_RETURN(prepared.policy, make_policy(prepared.job.config.policy));
  JIGSAW_ASSIGN_OR_RETURN(prepared.profile, profile_of(prepared.job.config));
  JIGSAW_ASSIGN_OR_RETURN(prepared.specs, to_specs(prepared.job.config));
  JIGSAW_ASSIGN_OR_RETURN(RunFolder folder,
                          RunFolder::open(out_folder(request), prepared.job.yaml, training_identity(without_added),
                                          prepared.specs, request.resume));
  prepared.folder = std::make_unique<RunFolder>(std::move(folder));
  log_to_file(prepared.folder->root() / "logs" / "controller.log");
  return prepared;
}

using Admit = decltype(ControllerOptions::admit);

Result<RunSummary> control(const RunRequest& request, Prepared& prepared, int num_workers, Transport& transport,
                           Admit admit) {
  std::vector<std::int64_t> steps_done;
  for (const StartPoint& start : prepared.folder->start_points()) steps_done.push_back(start.step);
  const int columns = terminal_columns();
  Progress progress(prepared.specs, steps_done, columns > 0, columns);
  Observers observers(*prepared.folder, request.quiet ? nullptr : &progress);
  ControllerOptions options;
  options.job_yaml = prepared.job.yaml;
  options.job_name = fs::absolute(request.job_file).string();
  options.num_workers = num_workers;
  options.checkpoint_root = fs::absolute(prepared.folder->checkpoint_root());
  options.worker_timeout = prepared.job.config.worker_timeout;
  options.memory_bytes_per_worker = memory_limit(prepared.job.config, num_workers);
  options.can_merge = prepared.job.config.merge && num_workers > 1;
  options.slowdown = prepared.profile.slowdown_table();
  for (const ModelCost& cost : prepared.profile.models) options.costs.emplace(cost.name, cost);
  options.stop = &stop_requested();
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<ControlServer> control, ControlServer::open(prepared.folder->root()));
  options.control = &control->transport();
  options.admit = std::move(admit);
  options.extend = [&request](const std::string& job_yaml, const std::string& yaml, const std::string& file) {
    return extend(request, job_yaml, yaml, file);
  };
  Controller controller(prepared.specs, prepared.folder->start_points(), options, std::move(prepared.policy), transport,
                        observers);
  JIGSAW_ASSIGN_OR_RETURN(const RunSummary summary, controller.run());
  JIGSAW_RETURN_IF_ERROR(prepared.folder->write_summary(summary));
  if (!request.quiet) {
    progress.finish();
    print_summary(summary, prepared.folder->root().string());
  }
  if (request.json) std::printf("%s\n", to_json(summary).c_str());
  return summary;
}

Status run_worker(MpiSession& session, const RunRequest& request) {
  JIGSAW_ASSIGN_OR_RETURN(const Job job, read_request(request));
  const auto worker = static_cast<PeerId>(session.rank());
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<Transport> transport, connect_to_rank_0(session));
  WorkerOptions options = worker_options(job.config, worker, session.num_workers());
  if (job.config.bind_cores) {
    JIGSAW_ASSIGN_OR_RETURN(options.cpus, session.cpus_for_lanes(options.num_threads));
  }
  JIGSAW_ASSIGN_OR_RETURN(const CurveKeys link_keys, make_curve_keys());
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<PeerLinks> links, open_peer_links(link_keys));
  // All collective calls come before the first message: from then on a worker may be lost.
  std::vector<std::unique_ptr<GradientExchange>> exchanges(job.config.pipelines.size());
  for (auto& exchange : exchanges) {
    JIGSAW_ASSIGN_OR_RETURN(exchange, session.make_exchange());
  }
  session.on_started();
  WorkerLoop loop(std::move(options), *transport, *links,
                  [&exchanges](int pipeline) -> Result<std::unique_ptr<GradientExchange>> {
                    return std::move(exchanges[static_cast<std::size_t>(pipeline)]);
                  });
  const Status status = loop.run();
  if (!status.ok() || loop.members_have_changed()) session.leave();
  return status;
}

int run_as_controller(MpiSession& session, const RunRequest& request) {
  announce_controller();
  catch_signals();
  const int num_workers = session.num_workers();
  Result<Prepared> prepared = prepare(request);
  if (prepared.ok() && num_workers < 1) {
    prepared =
        Error(ErrorCode::kInvalidArgument, "mpirun -n N jigsaw run needs N >= 2: a controller and at least one worker");
  }
  const auto go = session.broadcast(prepared.ok() ? "go" : "");
  if (!prepared.ok()) return report_error(prepared.error());
  if (!go.ok()) return report_error(go.error());
  const Result<Listening> listening = listen_for_ranks(session);
  if (!listening.ok()) return report_error(listening.error());
  session.on_started();
  const auto admit = [&](PeerId worker, const std::string& public_key) -> Result<wire::ControlReply::Joined> {
    JIGSAW_RETURN_IF_ERROR(listening->transport->admit(worker, public_key));
    wire::ControlReply::Joined joined;
    joined.set_worker(worker);
    joined.set_endpoint(listening->endpoint);
    joined.set_controller_key(listening->public_key);
    return joined;
  };
  const Result<RunSummary> summary = control(request, *prepared, num_workers, *listening->transport, admit);
  // Workers whose members have changed leave as well.
  if (!summary.ok() || summary->members_have_changed) session.leave();
  return summary.ok() ? kDone : report_error(summary.error());
}

}  // namespace

Result<Job> read_request(const RunRequest& request) {
  JIGSAW_ASSIGN_OR_RETURN(Job job, read_without_added(request));
  if (!request.resume) return job;
  const fs::path out = out_folder(request);
  JIGSAW_ASSIGN_OR_RETURN(const std::string added, added_to(out));
  if (added.empty()) return job;
  return extended_job(job, request.job_file, added, RunFolder::added_file(out));
}

fs::path out_folder(const RunRequest& request) {
  return request.out.empty() ? fs::path("runs") / fs::path(request.job_file).stem() : fs::path(request.out);
}

Result<Profile> profile_of(const JobConfig& config) {
  if (config.profile.empty()) return Profile();
  Result<Profile> profile = Profile::load(config.profile);
  if (!profile.ok()) return profile.error().with_context("profile");
  return profile;
}

int threads_of_worker(const JobConfig& config, int num_workers) {
  return config.threads_per_worker > 0 ? config.threads_per_worker : std::max(1, thread_count(0) / num_workers);
}

std::uint64_t memory_limit(const JobConfig& config, int num_workers) {
  return config.memory_bytes_per_worker != 0
             ? config.memory_bytes_per_worker
             : machine_memory_bytes() / static_cast<std::uint64_t>(std::max(num_workers, 1));
}

Result<std::vector<PipelineSpec>> to_specs(const JobConfig& config) {
  std::vector<PipelineSpec> specs;
  for (const PipelineConfig& pipeline : config.pipelines) {
    const Result<PipelineMemory> memory = predict_memory(pipeline);
    if (!memory.ok()) return memory.error().with_context("pipeline '" + pipeline.name + "'");
    specs.push_back(to_spec(pipeline, config.bins));
    specs.back().memory = memory->needs();
  }
  return specs;
}

int run_as_rank(const RunRequest& request) {
  auto session = MpiSession::init();
  if (!session.ok()) return report_error(session.error());
  const int rank = (*session)->rank();
  init_logging(rank == 0 ? "controller" : "worker-" + std::to_string(rank), LogLevel::kWarning);
  if (rank != 0) {
    ignore_signals();  // the controller decides when to stop
    const auto go = (*session)->broadcast("");
    if (!go.ok()) return report_error(go.error());
    if (go->empty()) return kDone;  // the controller has said why
    if (const Status status = run_worker(**session, request); !status.ok()) {
      log_info("worker.failed", "error=\"{}\"", status.error().message());
      return kFailed;
    }
    return kDone;
  }
  const int code = run_as_controller(**session, request);
  leave_exit_code(code);
  return code;
}

int run_with_mpirun(const RunRequest& request, int workers) {
  std::vector<std::string> argv = {own_executable(), "run", request.job_file, "--out", out_folder(request).string()};
  if (request.resume) argv.push_back("--resume");
  if (request.json) argv.push_back("--json");
  if (request.quiet) argv.push_back("--quiet");
  if (!request.policy.empty()) argv.insert(argv.end(), {"--policy", request.policy});
  argv.insert(argv.end(), {"--set", "workers=" + std::to_string(workers)});
  for (const std::string& setting : request.settings) argv.insert(argv.end(), {"--set", setting});
  if (const int columns = terminal_columns(); columns > 0)
    ::setenv(kColumnsVariable, std::to_string(columns).c_str(), 1);
  catch_signals();
  ExitFile exit_file;
  const Result<int> code =
      run_under_mpirun(workers + 1, argv, stop_requested(), abort_requested(), [&] { return exit_file.is_over(); });
  if (!code.ok()) return report_error(code.error());
  if (const auto told = exit_file.code()) return *told;
  if (*code != kDone && !exit_file.has_begun()) return *code;
  return report_error(Error(ErrorCode::kUnavailable,
                            "the controller has ended without an outcome; run again with --resume to go on from the "
                            "last checkpoint"));
}

Result<RunSummary> run_in_process(const RunRequest& request) {
  catch_signals();
  JIGSAW_ASSIGN_OR_RETURN(Prepared prepared, prepare(request));
  InprocHub hub(1);
  const auto controller_end = hub.endpoint(kControllerPeer), worker_end = hub.endpoint(1);
  InprocLinkHub link_hub(1);
  const auto links = link_hub.links(1);
  WorkerLoop loop(worker_options(prepared.job.config, 1, 1), *worker_end, *links,
                  [](int) -> Result<std::unique_ptr<GradientExchange>> { return make_local_exchange(); });
  std::jthread worker([&loop] { (void)loop.run(); });  // its error reaches the controller as a message
  return control(request, prepared, 1, *controller_end, nullptr);
}

}  // namespace jigsaw::cli
