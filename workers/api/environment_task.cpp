#include "workers/api/environment_task.h"

namespace jigsaw {
namespace {

class EnvironmentTask final : public Task {
 public:
  explicit EnvironmentTask(const Environment& environment) : environment_(environment) {}

  Prompt prompt(std::int64_t index) const override {
    Prompt prompt = environment_.prompt(index);
    prompt.index = index;
    return prompt;
  }
  std::string name() const override { return "environment"; }
  std::int64_t num_prompts() const override { return 0; }
  std::string alphabet() const override { return ""; }  // the options say it

 private:
  const Environment& environment_;
};

}  // namespace

std::unique_ptr<Task> make_environment_task(const Environment& environment) {
  return std::make_unique<EnvironmentTask>(environment);
}

}  // namespace jigsaw
