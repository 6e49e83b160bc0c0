#include "tests/fuzz/fuzz_targets.h"
#include "tests/fuzz/input_cutter.h"
#include "workers/job/job_config.h"

namespace jigsaw::fuzz {

// A job file, and after a zero byte each, `--set`s.
void job_yaml(std::string_view bytes) {
  InputCutter input(bytes);
  const std::string text(input.until_zero());
  std::vector<std::string> settings;
  while (!input.empty()) settings.emplace_back(input.until_zero());
  const auto job = read_job(text, "/jobs/fuzz.yaml", settings);
  if (!job.ok()) return;
  // Workers are sent the resolved text, and must read the same out of it.
  const auto again = read_job(job->yaml, "/jobs/fuzz.yaml");
  CHECK_MSG(again.ok(), again.error().message());
  CHECK_MSG(again->yaml == job->yaml, job->yaml);
  CHECK(again->config.pipelines.size() == job->config.pipelines.size());
}

}  // namespace jigsaw::fuzz
