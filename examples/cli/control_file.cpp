#include "examples/cli/control_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/atomic_file.h"
#include "core/files.h"
#include "core/process_watch.h"

namespace jigsaw::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kFile[] = "control.json";
constexpr std::size_t kBytesMax = 4096;
constexpr std::size_t kRequestBytesMax = 64 << 10;  // a request is a name and a number, or a key
constexpr std::chrono::seconds kAnswerMax{20};
constexpr std::chrono::milliseconds kLookAgainAfter{200};

struct Address {
  std::string endpoint, controller_key;
  CurveKeys keys;  // of those who ask
  std::string machine;
  int process = 0;  // the controller's
};

Result<Address> read_address(const fs::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) {
    return Error(ErrorCode::kNotFound, file.string() + ": not there: no run is under way in this folder");
  }
  if ((status.st_mode & 077) != 0) {
    return Error(ErrorCode::kInvalidArgument, file.string() + ": others may read or write it: chmod 600 it");
  }
  JIGSAW_ASSIGN_OR_RETURN(const std::string text, read_text_file(file, kBytesMax));
  const auto json = nlohmann::json::parse(text, nullptr, false);
  Address address;
  for (const auto& [name, field] : {std::pair{"endpoint", &address.endpoint},
                                    {"controller_key", &address.controller_key},
                                    {"machine", &address.machine},
                                    {"public_key", &address.keys.public_key},
                                    {"secret_key", &address.keys.secret_key}}) {
    if (!json.is_object() || !json.contains(name) || !json[name].is_string()) {
      return Error(ErrorCode::kCorrupt, file.string() + ": '" + name + "' is missing");
    }
    *field = json[name];
  }
  if (json.contains("process") && json["process"].is_number_integer()) address.process = json["process"];
  return address;
}

// Whether the controller was on this machine and is there no more.
bool has_ended(const Address& address) {
  if (address.process <= 0 || address.machine.empty() || address.machine != machine_name()) return false;
  const auto watch = ProcessWatch::open(address.process);
  return watch.ok() ? watch->has_ended() : watch.error().code() == ErrorCode::kNotFound;
}

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::open(const fs::path& run_folder) {
  JIGSAW_ASSIGN_OR_RETURN(const CurveKeys keys, make_curve_keys());
  JIGSAW_ASSIGN_OR_RETURN(const CurveKeys asker, make_curve_keys());
  JIGSAW_ASSIGN_OR_RETURN(ZmqServer server,
                          listen_for_workers(keys, std::vector<std::string>{asker.public_key}, kRequestBytesMax));
  const fs::path path = run_folder / kFile;
  const nlohmann::ordered_json json = {{"endpoint", server.endpoint},    {"machine", machine_name()},
                                       {"process", ::getpid()},          {"controller_key", keys.public_key},
                                       {"public_key", asker.public_key}, {"secret_key", asker.secret_key}};
  JIGSAW_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(path, 0600));
  JIGSAW_RETURN_IF_ERROR(file.write(json.dump(2) + "\n"));
  JIGSAW_RETURN_IF_ERROR(file.commit());
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(server), path));
}

ControlServer::~ControlServer() {
  std::error_code error;
  fs::remove(file_, error);
}

Result<wire::ControlReply> ask_controller(const fs::path& run_folder, const wire::ControlRequest& request) {
  JIGSAW_ASSIGN_OR_RETURN(const Address address, read_address(run_folder / kFile));
  JIGSAW_ASSIGN_OR_RETURN(const auto transport,
                          connect_to_controller(address.keys, address.endpoint, address.controller_key));
  JIGSAW_RETURN_IF_ERROR(transport->send(kControllerPeer, request.SerializeAsString()));
  std::optional<ReceivedMessage> received;
  const auto deadline = std::chrono::steady_clock::now() + kAnswerMax;
  while (!received && std::chrono::steady_clock::now() < deadline) {
    // It may end at any moment, also while it is asked.
    const bool was_killed = has_ended(address);
    JIGSAW_ASSIGN_OR_RETURN(received, transport->receive(was_killed ? std::chrono::milliseconds(0) : kLookAgainAfter));
    if (was_killed && !received) {
      return Error(ErrorCode::kNotFound, run_folder.string() + ": no run is under way: its controller, process " +
                                             std::to_string(address.process) + ", was killed; run --resume goes on");
    }
  }
  if (!received) {
    return Error(ErrorCode::kTimeout, "the controller of " + run_folder.string() + " has not answered for " +
                                          std::to_string(kAnswerMax.count()) +
                                          " s: is it loading models, or has it gone?");
  }
  wire::ControlReply reply;
  if (!received->bytes.parse_into(reply)) {
    return Error(ErrorCode::kCorrupt, "the controller's answer is no message that this version knows");
  }
  if (!reply.error().empty()) return Error(ErrorCode::kInvalidArgument, reply.error());
  return reply;
}

}  // namespace jigsaw::cli
