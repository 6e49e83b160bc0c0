// ctl.
#include <cstdio>
#include <memory>

#include "examples/cli/commands.h"
#include "examples/cli/control_file.h"

namespace jigsaw::cli {
namespace {

struct Ctl {
  std::string folder, pipeline;
  double weight = 1;
};

int ask(const std::string& folder, const wire::ControlRequest& request) {
  const auto reply = ask_controller(folder, request);
  if (!reply.ok()) return report_error(reply.error());
  if (!reply->json().empty()) std::printf("%s\n", reply->json().c_str());
  return kDone;
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
