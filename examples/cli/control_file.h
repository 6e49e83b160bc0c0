// <run folder>/control.json, readable by its owner alone (mode 0600): where a running controller listens for
// `jigsaw ctl` and for workers that join, and the keys to be let in.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "core/transport/zmq_transport.h"
#include "core/wire/control_messages.pb.h"

namespace jigsaw::cli {

// The controller's side. The file is there for as long as this is.
class ControlServer {
 public:
  static Result<std::unique_ptr<ControlServer>> open(const std::filesystem::path& run_folder);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;
  Transport& transport() { return *server_.transport; }

 private:
  ControlServer(ZmqServer server, std::filesystem::path file) : server_(std::move(server)), file_(std::move(file)) {}
  ZmqServer server_;
  std::filesystem::path file_;
};

// Asks the controller of a run. Errors: kNotFound where no run is under way, kTimeout without an answer for 20 s,
// kInvalidArgument with what the controller has to say against the request.
Result<wire::ControlReply> ask_controller(const std::filesystem::path& run_folder, const wire::ControlRequest& request);

}  // namespace jigsaw::cli
