// worker --join.
#include <cstdio>
#include <memory>

#include "core/log.h"
#include "core/transport/peer_links.h"
#include "examples/cli/commands.h"
#include "examples/cli/control_file.h"
#include "examples/cli/run_job.h"
#include "examples/cli/signals.h"
#include "workers/worker_loop.h"

namespace jigsaw::cli {
namespace {

struct Worker {
  std::string folder;
  int threads = 0;
  double memory_gb = 0;
};

Status join(const Worker& request) {
  JIGSAW_ASSIGN_OR_RETURN(const CurveKeys keys, make_curve_keys());
  wire::ControlRequest message;
  message.mutable_join()->set_public_key(keys.public_key);
  JIGSAW_ASSIGN_OR_RETURN(const wire::ControlReply reply, ask_controller(request.folder, message));
  std::fprintf(stderr, "jigsaw: worker %u of %s, once its pipelines are between two steps\n", reply.joined().worker(),
               request.folder.c_str());
  init_logging("worker-" + std::to_string(reply.joined().worker()), LogLevel::kWarning);
  JIGSAW_ASSIGN_OR_RETURN(const auto transport,
                          connect_to_controller(keys, reply.joined().endpoint(), reply.joined().controller_key()));
  JIGSAW_ASSIGN_OR_RETURN(const CurveKeys link_keys, make_curve_keys());
  JIGSAW_ASSIGN_OR_RETURN(const auto links, open_peer_links(link_keys));
  ignore_signals();  // the controller decides when to stop
  WorkerOptions options;
  options.worker = reply.joined().worker();
  options.num_threads = thread_count(request.threads);
  options.memory_bytes_max = static_cast<std::uint64_t>(request.memory_gb * (1 << 30));
  // The run's pipelines first come to the end of their steps.
  options.start_timeout = std::chrono::hours(1);
  options.exchanges_over_links = true;
  WorkerLoop loop(options, *transport, *links,
                  [](int) -> Result<std::unique_ptr<GradientExchange>> { return make_local_exchange(); });
  const Status status = loop.run();
  return status.ok() ? status : status.error().with_context(request.folder);
}

}  // namespace

void add_worker(CLI::App& app, int& exit_code) {
  auto worker = std::make_shared<Worker>();
  CLI::App* command = app.add_subcommand("worker", "Joins a run that is under way, as one more worker of it");
  command->add_option("--join", worker->folder, "The run's folder (--out)")->required();
  command->add_option("--threads", worker->threads, "Threads that compute; 0 = all cores")->check(CLI::Range(0, 1024));
  command->add_option("--memory-gb", worker->memory_gb, "For its pipelines; 0 = no limit")
      ->check(CLI::NonNegativeNumber);
  command->callback([worker, &exit_code] { exit_code = exit_code_of(join(*worker)); });
}

}  // namespace jigsaw::cli
