// ctl.
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/config/yaml_section.h"
#include "core/files.h"
#include "examples/cli/commands.h"
#include "examples/cli/control_file.h"

namespace jigsaw::cli {
namespace {

struct Ctl {
  std::string folder, pipeline, file;
  double weight = 1;
};

int ask(const std::string& folder, const wire::ControlRequest& request) {
  const auto reply = ask_controller(folder, request);
  if (!reply.ok()) return report_error(reply.error());
  if (!reply->json().empty()) std::printf("%s\n", reply->json().c_str());
  return kDone;
}

constexpr std::chrono::minutes kLoadingMax{10};
constexpr std::chrono::milliseconds kAskAgainAfter{200};

// The run loads them beside what it does; whoever added them wants to know whether it could.
Status add_pipelines(const std::string& folder, const std::string& file) {
  JIGSAW_ASSIGN_OR_RETURN(const std::string yaml, read_text_file(file, kYamlBytesMax));
  wire::ControlRequest add, status;
  add.mutable_add()->set_yaml(yaml);
  add.mutable_add()->set_file(file);
  status.mutable_status();
  JIGSAW_ASSIGN_OR_RETURN(const wire::ControlReply accepted, ask_controller(folder, add));
  const std::vector<std::string> names(accepted.adding().begin(), accepted.adding().end());
  const auto deadline = std::chrono::steady_clock::now() + kLoadingMax;
  while (std::chrono::steady_clock::now() < deadline) {
    JIGSAW_ASSIGN_OR_RETURN(const wire::ControlReply reply, ask_controller(folder, status));
    const auto json = nlohmann::json::parse(reply.json(), nullptr, false);
    if (!json.is_object()) return Error(ErrorCode::kCorrupt, "the controller's answer is no JSON");
    const nlohmann::json problems = json.value("not_added", nlohmann::json::object());
    if (problems.contains(names.front()))
      return Error(ErrorCode::kUnavailable, problems[names.front()].get<std::string>());
    for (const auto& pipeline : json.value("pipelines", nlohmann::json::array())) {
      if (pipeline.value("name", "") == names.front()) return ok_status();
    }
    std::this_thread::sleep_for(kAskAgainAfter);
  }
  return Error(ErrorCode::kTimeout, "the workers have not loaded the pipelines within 10 minutes");
}

}  // namespace

void add_ctl(CLI::App& app, int& exit_code) {
  auto ctl = std::make_shared<Ctl>();
  CLI::App* command = app.add_subcommand("ctl", "Steers a run that is under way");
  command->require_subcommand(1);
  const auto add = [&](const char* name, const char* summary) {
    CLI::App* sub = command->add_subcommand(name, summary);
    sub->add_option("folder", ctl->folder, "The run's folder (--out)")->required();
    return sub;
  };
  const auto add_for_pipeline = [&](const char* name, const char* summary) {
    CLI::App* sub = add(name, summary);
    sub->add_option("pipeline", ctl->pipeline, "Name of the pipeline")->required();
    return sub;
  };
  add("status", "Prints where pipelines and workers stand, as a JSON line")->callback([ctl, &exit_code] {
    wire::ControlRequest request;
    request.mutable_status();
    exit_code = ask(ctl->folder, request);
  });
  add_for_pipeline("pause", "No further step of the pipeline begins")->callback([ctl, &exit_code] {
    wire::ControlRequest request;
    request.mutable_pause()->set_name(ctl->pipeline);
    exit_code = ask(ctl->folder, request);
  });
  add_for_pipeline("resume", "The pipeline goes on")->callback([ctl, &exit_code] {
    wire::ControlRequest request;
    request.mutable_resume()->set_name(ctl->pipeline);
    exit_code = ask(ctl->folder, request);
  });
  add_for_pipeline("cancel", "Ends the pipeline with a checkpoint; run --resume goes on with it")
      ->callback([ctl, &exit_code] {
        wire::ControlRequest request;
        request.mutable_cancel()->set_name(ctl->pipeline);
        exit_code = ask(ctl->folder, request);
      });
  CLI::App* more =
      add("add", "Adds pipelines to the run, which trains them as if they had been in its job from the start");
  more->add_option("file", ctl->file, "YAML with the `pipelines` to add, as in a job file")->required();
  more->callback([ctl, &exit_code] {
    const Status status = add_pipelines(ctl->folder, ctl->file);
    exit_code = status.ok() ? kDone : report_error(status.error());
  });
  CLI::App* weight = add_for_pipeline("weight", "Changes the pipeline's share against others");
  weight->add_option("weight", ctl->weight, "As in the job file")->required();
  weight->callback([ctl, &exit_code] {
    wire::ControlRequest request;
    request.mutable_weight()->set_name(ctl->pipeline);
    request.mutable_weight()->set_weight(ctl->weight);
    exit_code = ask(ctl->folder, request);
  });
}

}  // namespace jigsaw::cli
