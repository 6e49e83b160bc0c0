#include "workers/launch/mpi_session.h"

#include <mpi.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "core/lane.h"
#include "workers/lane_set.h"
#include "workers/launch/mpi_exchange.h"

namespace jigsaw {
namespace {

constexpr std::chrono::seconds kStartMax{60}, kFinalizeMax{20};
constexpr std::size_t kKeySize = 40;
constexpr std::size_t kCpusMax = 1024;  // of one machine: what a cpu_set_t holds

Status check_mpi(int code, const std::string& doing) {
  if (code == MPI_SUCCESS) return ok_status();
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  return Error(ErrorCode::kUnavailable, doing + ": " + std::string(text, static_cast<std::size_t>(length)));
}

}  // namespace

// Ends the process when it is not disarmed in time.
class MpiSession::ExitTimer {
 public:
  ExitTimer(std::chrono::seconds limit, const char* problem)
      : thread_([this, limit, problem](std::stop_token stop) {
          std::unique_lock lock(mutex_);
          if (!wake_.wait_for(lock, stop, limit, [] { return false; }) && !stop.stop_requested()) {
            std::fprintf(stderr, "jigsaw: %s\n", problem);
            std::_Exit(1);
          }
        }) {}

 private:
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;
};

struct MpiSession::Communicators {
  MPI_Comm workers = MPI_COMM_NULL;
};

bool started_by_mpirun() {
  return std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr || std::getenv("PMI_SIZE") != nullptr;
}

MpiSession::MpiSession() : communicators_(std::make_unique<Communicators>()) {}

Result<std::unique_ptr<MpiSession>> MpiSession::init() {
  auto timer = std::make_unique<ExitTimer>(kStartMax, "the ranks of mpirun do not come together");
  int provided = 0;
  JIGSAW_RETURN_IF_ERROR(check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "starting MPI"));
  std::unique_ptr<MpiSession> session(new MpiSession());
  session->start_timer_ = std::move(timer);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &session->rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &session->num_ranks_);
  JIGSAW_RETURN_IF_ERROR(check_mpi(
      MPI_Comm_split(MPI_COMM_WORLD, session->rank_ == 0 ? 0 : 1, session->rank_, &session->communicators_->workers),
      "grouping the workers"));
  return session;
}

MpiSession::~MpiSession() {
  if (has_left_) {
    start_timer_.reset();
    return;
  }
  start_timer_.reset();
  const ExitTimer timer(kFinalizeMax, "another rank does not end; leaving without it");
  if (communicators_->workers != MPI_COMM_NULL) MPI_Comm_free(&communicators_->workers);
  MPI_Finalize();
}

void MpiSession::on_started() { start_timer_.reset(); }

Result<std::string> MpiSession::broadcast(const std::string& text) {
  std::uint64_t size = text.size();
  JIGSAW_RETURN_IF_ERROR(check_mpi(MPI_Bcast(&size, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD), "broadcasting"));
  std::string received = text;
  received.resize(size);
  JIGSAW_RETURN_IF_ERROR(
      check_mpi(MPI_Bcast(received.data(), static_cast<int>(size), MPI_CHAR, 0, MPI_COMM_WORLD), "broadcasting"));
  return received;
}

Result<std::vector<std::string>> MpiSession::gather_keys(const std::string& public_key) {
  std::string own = public_key;
  own.resize(kKeySize);
  std::string all(kKeySize * static_cast<std::size_t>(num_ranks_), '\0');
  JIGSAW_RETURN_IF_ERROR(check_mpi(MPI_Gather(own.data(), static_cast<int>(kKeySize), MPI_CHAR, all.data(),
                                              static_cast<int>(kKeySize), MPI_CHAR, 0, MPI_COMM_WORLD),
                                   "gathering keys"));
  std::vector<std::string> keys;
  for (int worker = 1; worker < num_ranks_; ++worker)
    keys.push_back(all.substr(kKeySize * static_cast<std::size_t>(worker), kKeySize));
  return keys;
}

Result<std::vector<int>> MpiSession::cpus_for_lanes(int num_threads) {
  CHECK(rank_ > 0);
  MPI_Comm machine = MPI_COMM_NULL;
  JIGSAW_RETURN_IF_ERROR(
      check_mpi(MPI_Comm_split_type(communicators_->workers, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &machine),
                "finding the workers of this machine"));
  int own = 0, count = 0;
  MPI_Comm_rank(machine, &own);
  MPI_Comm_size(machine, &count);
  std::vector<unsigned char> mask(kCpusMax, 0), masks(kCpusMax * static_cast<std::size_t>(count));
  for (const int cpu : usable_cpus()) {
    if (static_cast<std::size_t>(cpu) < kCpusMax) mask[static_cast<std::size_t>(cpu)] = 1;
  }
  const Status gathered = check_mpi(MPI_Allgather(mask.data(), static_cast<int>(kCpusMax), MPI_BYTE, masks.data(),
                                                  static_cast<int>(kCpusMax), MPI_BYTE, machine),
                                    "sharing out the cores");
  MPI_Comm_free(&machine);
  if (!gathered.ok()) return gathered.error();
  std::vector<std::vector<int>> usable(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < masks.size(); ++i) {
    if (masks[i] != 0) usable[i / kCpusMax].push_back(static_cast<int>(i % kCpusMax));
  }
  return cpus_for_worker(usable, static_cast<std::size_t>(own), num_threads);
}

Result<std::unique_ptr<GradientExchange>> MpiSession::make_exchange() {
  CHECK(rank_ > 0);
  MPI_Comm communicator = MPI_COMM_NULL;
  JIGSAW_RETURN_IF_ERROR(
      check_mpi(MPI_Comm_dup(communicators_->workers, &communicator), "preparing the gradient exchange"));
  return make_mpi_exchange(communicator);
}

Result<Listening> listen_for_ranks(MpiSession& session) {
  JIGSAW_ASSIGN_OR_RETURN(const CurveKeys keys, make_curve_keys());
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<std::string> worker_keys, session.gather_keys(keys.public_key));
  auto server = listen_for_workers(keys, worker_keys);
  // The workers wait for this, also when there is nothing to tell.
  const auto sent = session.broadcast(server.ok() ? server->endpoint + " " + keys.public_key : "");
  if (!sent.ok()) return sent.error();
  if (!server.ok()) return server.error();
  return Listening{std::move(server->transport), server->endpoint, keys.public_key};
}

Result<std::unique_ptr<Transport>> connect_to_rank_0(MpiSession& session) {
  JIGSAW_ASSIGN_OR_RETURN(const CurveKeys keys, make_curve_keys());
  JIGSAW_RETURN_IF_ERROR([&]() -> Status {
    const auto gathered = session.gather_keys(keys.public_key);
    return gathered.ok() ? ok_status() : Status(gathered.error());
  }());
  JIGSAW_ASSIGN_OR_RETURN(const std::string address, session.broadcast(""));
  const std::size_t space = address.find(' ');
  if (space == std::string::npos) return Error(ErrorCode::kUnavailable, "the controller could not open its socket");
  return connect_to_controller(keys, address.substr(0, space), address.substr(space + 1));
}

}  // namespace jigsaw
