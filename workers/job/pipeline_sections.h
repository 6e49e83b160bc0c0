// The sections of one pipeline in the job file. Each reads its keys into `pipeline` and adds errors to `yaml`.
#pragma once

#include <filesystem>

#include "core/config/yaml_section.h"
#include "workers/job/job_config.h"

namespace jigsaw {

// By `mode` and `max_staleness`, of real and of simulated pipelines: see PipelineSpec::staleness.
int read_staleness(YamlSection& yaml);
// `staleness` has been read.
// `folder`: where relative paths start from.
void read_model(YamlSection& yaml, PipelineConfig& pipeline, const std::filesystem::path& folder);
void read_task(YamlSection& yaml, PipelineConfig& pipeline, const std::filesystem::path& folder);
void read_reward(YamlSection& yaml, PipelineConfig& pipeline, const std::filesystem::path& folder);
void read_tool(YamlSection& yaml, PipelineConfig& pipeline, const std::filesystem::path& folder);
void read_algorithm(YamlSection& yaml, PipelineConfig& pipeline);
void read_rollout(YamlSection& yaml, PipelineConfig& pipeline);
void read_train(YamlSection& yaml, PipelineConfig& pipeline);
// Derives what is left open, and checks what only shows when sections are seen together.
void check_fit(YamlSection& yaml, PipelineConfig& pipeline);

}  // namespace jigsaw
