// The part of the controller that answers `jigsaw ctl` (scheduler/controller.h).
#include <nlohmann/json.hpp>

#include "core/log.h"
#include "core/nearest_name.h"
#include "scheduler/controller.h"

namespace jigsaw {
namespace {

constexpr PeerId kAsker = 1;
constexpr int kRequestsPerRound = 16;
constexpr double kWeightMin = 1e-3, kWeightMax = 1e3;  // as in a job file: shares are not rounded to nothing or all

}  // namespace

// Whatever comes in here ends nothing: the answer says what is wrong with it.
Status Controller::serve_control() {
  for (int i = 0; options_.control != nullptr && i < kRequestsPerRound; ++i) {
    const auto received = options_.control->receive(std::chrono::milliseconds(0));
    if (!received.ok() || !*received) return ok_status();
    wire::ControlRequest request;
    wire::ControlReply reply;
    if ((*received)->bytes.parse_into(request)) {
      reply = answer(request);
    } else {
      reply.set_error("the request is no message that this version knows");
    }
    (void)options_.control->send(kAsker, reply.SerializeAsString());  // it may have gone
  }
  return ok_status();
}

wire::ControlReply Controller::answer(const wire::ControlRequest& request) {
  wire::ControlReply reply;
  const auto with_pipeline = [&](const std::string& name, const auto& action) {
    const Result<int> pipeline = pipeline_named(name);
    if (!pipeline.ok()) {
      reply.set_error(pipeline.error().message());
    } else if (plan_.done(*pipeline) || pipelines_[static_cast<std::size_t>(*pipeline)].is_stopping) {
      reply.set_error("pipeline '" + name + "' has ended, or is about to");
    } else {
      action(*pipeline);
    }
  };
  const auto set_paused = [this](int pipeline, bool is_paused) {
    pipelines_[static_cast<std::size_t>(pipeline)].is_paused = is_paused;
    pause_as_wanted();
    log_info(is_paused ? "pipeline.paused" : "pipeline.resumed", "pipeline={}", plan_.spec(pipeline).name);
  };
  switch (request.request_case()) {
    case wire::ControlRequest::kStatus: reply.set_json(status_json()); break;
    case wire::ControlRequest::kPause:
      with_pipeline(request.pause().name(), [&](int pipeline) { set_paused(pipeline, true); });
      break;
    case wire::ControlRequest::kResume:
      with_pipeline(request.resume().name(), [&](int pipeline) { set_paused(pipeline, false); });
      break;
    case wire::ControlRequest::kCancel:
      with_pipeline(request.cancel().name(), [&](int pipeline) { begin_stopping(pipeline); });
      break;
    case wire::ControlRequest::kWeight:
      if (!(request.weight().weight() >= kWeightMin && request.weight().weight() <= kWeightMax)) {
        reply.set_error("a weight is a number from 0.001 to 1000");
        break;
      }
      with_pipeline(request.weight().name(), [&](int pipeline) {
        plan_.set_weight(pipeline, request.weight().weight());
        log_info("pipeline.weight", "pipeline={} weight={}", plan_.spec(pipeline).name, request.weight().weight());
      });
      break;
    case wire::ControlRequest::kJoin:
      if (const auto joined = begin_join(request.join().public_key()); joined.ok()) {
        *reply.mutable_joined() = *joined;
      } else {
        reply.set_error(joined.error().message());
      }
      break;
    case wire::ControlRequest::kAdd:
      if (const Status status = begin_add(request.add().yaml(), request.add().file()); !status.ok()) {
        reply.set_error(status.error().message());
        break;
      }
      for (const PipelineSpec& spec : adding_->addition.specs) reply.add_adding(spec.name);
      break;
    case wire::ControlRequest::REQUEST_NOT_SET: reply.set_error("the request asks for nothing"); break;
  }
  return reply;
}

Result<int> Controller::pipeline_named(const std::string& name) const {
  std::vector<std::string> names;
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    names.push_back(plan_.spec(pipeline).name);
    if (names.back() == name) return pipeline;
  }
  const std::string nearest = nearest_name(name, names);
  return Error(ErrorCode::kNotFound,
               "there is no pipeline '" + name + "'" + (nearest.empty() ? "" : "; did you mean '" + nearest + "'?"));
}

std::string Controller::status_json() const {
  nlohmann::ordered_json json = {{"policy", policy_->name()},
                                 {"wall_s", std::chrono::duration<double>(clock_.now() - begin_).count()}};
  json["pipelines"] = nlohmann::ordered_json::array();
  for (int pipeline = 0; pipeline < plan_.num_pipelines(); ++pipeline) {
    const PipelineRun& run = pipelines_[static_cast<std::size_t>(pipeline)];
    const PipelineSpec& spec = plan_.spec(pipeline);
    const std::string state = plan_.done(pipeline) ? "ended"
                              : run.is_stopping    ? "stopping"
                              : run.is_paused      ? "paused"
                                                   : "running";
    json["pipelines"].push_back({{"name", spec.name},
                                 {"state", state},
                                 {"step", plan_.step(pipeline)},
                                 {"steps", spec.steps},
                                 {"weight", spec.weight},
                                 {"waiting_for", plan_.waiting_for(pipeline)}});
  }
  if (!not_added_.empty()) json["not_added"] = not_added_;
  json["workers"] = nlohmann::ordered_json::array();
  for (PeerId worker = 1; members_.has(worker); ++worker) {
    const Member& member = members_.at(worker);
    json["workers"].push_back({{"worker", worker},
                               {"state", member.lost      ? "lost"
                                         : member.joining ? "joining"
                                                          : "working"},
                               {"threads", member.num_threads},
                               {"waiting_for", member.waiting_for}});
  }
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace jigsaw
