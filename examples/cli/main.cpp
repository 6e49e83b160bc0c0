// The `jigsaw` program: composes the libraries and decides nothing.
#include <malloc.h>

#include <cstdio>
#include <exception>
#include <thread>

#include "core/log.h"
#include "core/nearest_name.h"
#include "examples/cli/commands.h"

namespace jigsaw::cli {

int report_error(const Error& error) {
  std::fprintf(stderr, "jigsaw: %s\n", error.message().c_str());
  const bool bad_usage = error.code() == ErrorCode::kInvalidArgument || error.code() == ErrorCode::kNotFound;
  return bad_usage ? kBadUsage : kFailed;
}

int thread_count(int threads) {
  if (threads > 0) return threads;
  const unsigned cores = std::thread::hardware_concurrency();
  return cores > 0 ? static_cast<int>(cores) : 1;
}

namespace {

// What an unknown word of the command line could have meant: a subcommand, or an option of the one that was chosen.
std::string suggestion(const CLI::App& app, const std::string& message, const std::string& first_word) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands({})) names.push_back(sub->get_name());
  for (const CLI::App* sub : app.get_subcommands()) {
    for (const CLI::Option* option : sub->get_options()) names.push_back(option->get_name());
    for (const CLI::App* nested : sub->get_subcommands({})) names.push_back(nested->get_name());
    for (const CLI::App* nested : sub->get_subcommands()) {
      for (const CLI::Option* option : nested->get_options()) names.push_back(option->get_name());
    }
  }
  // CLI11 names a word that it does not know at the end of its message, but not one that stands for the subcommand.
  const std::size_t begin = message.find_last_of(" :");
  std::string word =
      app.get_subcommands().empty() ? first_word : message.substr(begin == std::string::npos ? 0 : begin + 1);
  if (const std::size_t equals = word.find('='); equals != std::string::npos) word.resize(equals);
  const std::string nearest = nearest_name(word, names);
  return nearest.empty() ? "" : "; did you mean '" + nearest + "'?";
}

int run(int argc, char** argv) {
  init_logging("jigsaw", LogLevel::kWarning);
  CLI::App app{
      "Jigsaw: reinforcement-learning post-training of language models, several pipelines on one set of workers."};
  app.name("jigsaw");
  app.require_subcommand(1);
  app.set_help_all_flag("--help-all", "Help of all subcommands");
  app.set_version_flag("--version", JIGSAW_VERSION);
  int exit_code = kDone;
  add_run(app, exit_code);
  add_ctl(app, exit_code);
  add_worker(app, exit_code);
  add_plan(app, exit_code);
  add_simulate(app, exit_code);
  add_profile(app, exit_code);
  add_compare(app, exit_code);
  add_logprobs(app, exit_code);
  add_tokenize(app, exit_code);
  add_generate(app, exit_code);
  add_loss(app, exit_code);
  add_bench(app, exit_code);
  add_inspect(app, exit_code);
  add_report(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    const std::string message = error.what();
    std::fprintf(stderr, "jigsaw: %s%s\nRun with --help for what there is.\n", message.c_str(),
                 suggestion(app, message, argc > 1 ? argv[1] : "").c_str());
    return kBadUsage;
  }
  return exit_code;
}

}  // namespace
}  // namespace jigsaw::cli

namespace {

// Messages of MBs come and go. What glibc comes to by itself once a process has freed a large block holds from the
// start: their memory stays here to be used again, and need not be cleared by the system each time.
void keep_freed_memory() {
  constexpr int kMiB = 1 << 20;
  ::mallopt(M_MMAP_THRESHOLD, 32 * kMiB);
  ::mallopt(M_TRIM_THRESHOLD, 64 * kMiB);
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  try {
    return jigsaw::cli::run(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "jigsaw: out of memory\n");
  } catch (const std::exception& error) {  // a library's; ours are Results
    std::fprintf(stderr, "jigsaw: %s\n", error.what());
  }
  return jigsaw::cli::kFailed;
}
