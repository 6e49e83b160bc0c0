// The subcommands of `jigsaw`. Each registers its options and what runs when it is chosen; `exit_code` is the
// process's.
//
// Machine-readable output goes to stdout as JSON lines, all else to stderr. Exit codes: 0 done, 1 failed, 2 bad usage
// or configuration.
#pragma once

#include <CLI/CLI.hpp>

#include "core/result.h"

namespace jigsaw::cli {

inline constexpr int kDone = 0, kFailed = 1, kBadUsage = 2;

void add_run(CLI::App& app, int& exit_code);
void add_ctl(CLI::App& app, int& exit_code);
void add_worker(CLI::App& app, int& exit_code);
void add_plan(CLI::App& app, int& exit_code);
void add_simulate(CLI::App& app, int& exit_code);
void add_profile(CLI::App& app, int& exit_code);
void add_compare(CLI::App& app, int& exit_code);
void add_logprobs(CLI::App& app, int& exit_code);
void add_tokenize(CLI::App& app, int& exit_code);
void add_generate(CLI::App& app, int& exit_code);
void add_loss(CLI::App& app, int& exit_code);
void add_bench(CLI::App& app, int& exit_code);
void add_inspect(CLI::App& app, int& exit_code);
void add_report(CLI::App& app, int& exit_code);

struct RunRequest;
// The options of commands that take a job: file, --workers, --policy, --set.
void add_job_options(CLI::App& command, RunRequest& request);
// Whether there is a policy of this name.
Status check_policy(const std::string& name);

// Prints "jigsaw: <message>" to stderr; 2 for what the user gave wrongly, else 1.
int report_error(const Error& error);
inline int exit_code_of(const Status& status) { return status.ok() ? kDone : report_error(status.error()); }

// All of this machine's cores, where `threads` is 0.
int thread_count(int threads);

}  // namespace jigsaw::cli
