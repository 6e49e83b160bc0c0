#include "examples/cli/explain.h"

#include <fmt/format.h>

namespace jigsaw::cli {
namespace {

std::string options_text(const std::vector<Option>& options) {
  std::string text;
  for (const Option& option : options) {
    text += fmt::format("        option: {:<60} window ends after {:>9.2f} s, score {:.4f}\n", option.action,
                        option.finish_s, option.score);
  }
  return text;
}

}  // namespace

std::string explain(double now_s, const Plan& plan, const Decision& decision) {
  std::string text = fmt::format("at {:.2f} s\n", now_s);
  const auto name_of = [&](NodeRef ref) {
    return fmt::format("{} step {} {}", plan.spec(ref.pipeline).name, ref.step, to_string(plan.node(ref)));
  };
  for (const DispatchChoice& choice : decision.start) {
    text += fmt::format("    start   {} with weight {:.2f}: {}\n{}", name_of(choice.node), choice.share, choice.reason,
                        options_text(choice.options));
  }
  for (const WaitChoice& wait : decision.wait) {
    text += fmt::format("    hold    {}: {}\n{}", name_of(wait.node), wait.reason, options_text(wait.options));
  }
  for (const MergeChoice& merge : decision.merge) {
    text += fmt::format("    merge   {} into {}: {}\n{}", name_of(merge.from), to_string(plan.node(merge.to)),
                        merge.reason, options_text(merge.options));
  }
  for (const ShareChange& change : decision.reshare) {
    text += fmt::format("    reshare {} to {:.2f}: {}\n", name_of(change.node), change.share, change.reason);
  }
  for (int pipeline = 0; pipeline < plan.num_pipelines(); ++pipeline) {
    if (const std::string waiting_for = plan.waiting_for(pipeline); !waiting_for.empty()) {
      text += fmt::format("    {} waits for {}\n", plan.spec(pipeline).name, waiting_for);
    }
  }
  return text;
}

}  // namespace jigsaw::cli
