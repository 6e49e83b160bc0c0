// bench decode | prefill | step | packing | gemm | migrate: what the performance claims rest on.
#include <sys/resource.h>

#include <memory>
#include <tuple>

#include "core/lane.h"
#include "core/median.h"
#include "examples/cli/commands.h"
#include "examples/cli/json_lines.h"
#include "examples/cli/peer_products.h"
#include "examples/cli/weight_format_option.h"
#include "rollout/engine/decode_bench.h"
#include "rollout/engine/prefill_bench.h"
#include "rollout/engine/tail_bench.h"
#include "rollout/kernels/gemm_bench.h"
#include "rollout/kernels/kernels.h"
#include "rollout/models/model_files.h"
#include "rollout/tokenizer/tokenizer.h"
#include "scheduler/packing_bench.h"
#include "workers/job/completion_lengths.h"
#include "workers/moves/migrate_bench.h"
#include "workers/trainer/step_bench.h"

namespace jigsaw::cli {
namespace {

struct BenchOptions {
  std::string model;
  WeightFormat weight_format = WeightFormat::kFp32;
  int threads = 0;
  bool json = false;  // accepted for the contract: output is always JSON lines
  std::vector<int> batches{1, 4, 16, 64};
  DecodeBenchOptions decode;
  PrefillBenchOptions prefill;
  bool tail_only = false;
  TailBenchOptions tail;
  StepBenchOptions step;
  std::string lengths = "8x64";
  int num_packed_batches = 30;
  int packing_split_tokens = PackingBenchOptions().split_tokens;
  MigrateBenchOptions migrate;
  std::vector<int> rows{1, 2, 4, 8, 16, 32, 64, 96, 128, 256, 512};
  bool with_peers = true;
};

// As the peers' scripts spell it.
std::string short_name(WeightFormat format) { return format == WeightFormat::kBf16 ? "bf16" : "f32"; }

Status bench_tail(const BenchOptions& options) {
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<PolicyWeights> weights, load_model(options.model));
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, load_tokenizer(options.model));
  Lane lane(thread_count(options.threads));
  weights->set_format(options.weight_format, lane);
  for (const std::string& text : tail_bench_texts()) {
    for (const int batch : options.batches) {
      TailBenchOptions tail = options.tail;
      tail.text = text;
      tail.batch = batch;
      tail.new_tokens = options.decode.new_tokens;
      tail.repeats = options.decode.repeats;
      JIGSAW_ASSIGN_OR_RETURN(const TailBenchResult result, run_tail_bench(lane, *weights, *tokenizer, tail));
      print_json_line({{"peer", "jigsaw-tail"},
                       {"weights", short_name(options.weight_format)},
                       {"text", text},
                       {"batch", batch},
                       {"temperature", tail.temperature},
                       {"siblings", tail.siblings},
                       {"new_tokens", tail.new_tokens},
                       {"threads", result.threads},
                       {"plain_s", result.plain_s},
                       {"speculative_s", result.speculative_s},
                       {"speedup", result.speedup},
                       {"speedup_range", result.speedup_range},
                       {"tokens_per_pass", result.tokens_per_pass},
                       {"drafted_per_pass", result.drafted_per_pass},
                       {"accepted_share", result.accepted_share},
                       {"foreign_cores", result.foreign_cores},
                       {"kernels", kernels::variant_name()}});
    }
  }
  return ok_status();
}

Status bench_decode(const BenchOptions& options) {
  if (options.tail_only) return bench_tail(options);
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<PolicyWeights> weights, load_model(options.model));
  Lane lane(thread_count(options.threads));
  weights->set_format(options.weight_format, lane);
  for (const int batch : options.batches) {
    DecodeBenchOptions decode = options.decode;
    decode.batch = batch;
    JIGSAW_ASSIGN_OR_RETURN(const DecodeBenchResult result, run_decode_bench(lane, *weights, decode));
    print_json_line({{"peer", result.peer},
                     {"weights", short_name(options.weight_format)},
                     {"batch", result.batch},
                     {"prompt_tokens", result.prompt_tokens},
                     {"new_tokens", result.new_tokens},
                     {"threads", result.threads},
                     {"tok_per_s", result.tok_per_s},
                     {"tok_per_s_range", result.tok_per_s_range},
                     {"first_tokens", result.first_tokens},
                     {"foreign_cores", result.foreign_cores},
                     {"kernels", kernels::variant_name()}});
  }
  return ok_status();
}

Status bench_prefill(const BenchOptions& options) {
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<PolicyWeights> weights, load_model(options.model));
  Lane lane(thread_count(options.threads));
  weights->set_format(options.weight_format, lane);
  JIGSAW_ASSIGN_OR_RETURN(const PrefillBenchResult result, run_prefill_bench(lane, *weights, options.prefill));
  print_json_line({{"peer", "jigsaw"},
                   {"weights", short_name(options.weight_format)},
                   {"prompt_tokens", options.prefill.prompt_tokens},
                   {"group", options.prefill.group},
                   {"threads", lane.num_threads()},
                   {"prefill_tok_per_s", options.prefill.prompt_tokens / result.first_token_s},
                   {"gflops", result.gflops},
                   {"fma_peak_gflops", result.fma_peak_gflops},
                   {"share_of_fma_peak", result.gflops / result.fma_peak_gflops},
                   {"first_token_ms", 1e3 * result.first_token_s},
                   {"first_tokens_of_group_ms", 1e3 * result.group_first_tokens_s},
                   {"group_over_one", result.group_first_tokens_s / result.first_token_s},
                   {"foreign_cores", result.foreign_cores},
                   {"kernels", kernels::variant_name()}});
  return ok_status();
}

// Of this process so far, as the peers' scripts count it.
std::int64_t peak_rss_mib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

Status bench_step(BenchOptions options) {
  Result<std::vector<int>> lengths = parse_completion_lengths(options.lengths);
  if (!lengths.ok()) return lengths.error().with_context("--lengths");
  options.step.completion_lengths = *std::move(lengths);
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<PolicyWeights> weights, load_model(options.model));
  Lane lane(thread_count(options.threads));
  weights->set_format(options.weight_format, lane);
  JIGSAW_ASSIGN_OR_RETURN(const std::vector<StepTiming> steps, time_training_steps(lane, *weights, options.step));
  for (std::size_t i = 0; i < steps.size(); ++i) {
    print_json_line({{"peer", "jigsaw"},
                     {"weights", short_name(options.weight_format)},
                     {"step", i + 1},
                     {"lengths", options.lengths},
                     {"recompute", options.step.recompute_activations},
                     {"split_tokens", options.step.split_tokens},
                     {"threads", lane.num_threads()},
                     {"tokens", steps[i].num_tokens},
                     {"train_s", steps[i].total_s()},
                     {"forward_backward_s", steps[i].forward_backward_s},
                     {"update_s", steps[i].update_s},
                     {"longest_quantum_s", steps[i].longest_quantum_s},
                     {"peak_rss_mib", peak_rss_mib()},
                     {"kernels", kernels::variant_name()}});
  }
  return ok_status();
}

// The settings of related work's tables.
Status bench_packing(const BenchOptions& options) {
  for (const auto& [workers, samples, sigma] :
       {std::tuple{2, 64, 0.9}, {4, 64, 0.6}, {8, 128, 0.9}, {8, 64, 0.9}, {8, 64, 1.2}}) {
    const PackingBenchResult imbalance = run_packing_bench({.num_workers = workers,
                                                            .num_samples = samples,
                                                            .sigma = sigma,
                                                            .num_batches = options.num_packed_batches,
                                                            .split_tokens = options.packing_split_tokens});
    print_json_line({{"workers", workers},
                     {"samples", samples},
                     {"sigma", sigma},
                     {"batches", options.num_packed_batches},
                     {"imbalance_arrival_order", imbalance.arrival_order},
                     {"imbalance_by_tokens", imbalance.by_tokens},
                     {"imbalance_by_work", imbalance.by_work},
                     {"bound_of_longest_sample", imbalance.longest_sample},
                     {"split_tokens", options.packing_split_tokens},
                     {"imbalance_in_chunks", imbalance.in_chunks}});
  }
  return ok_status();
}

Status bench_gemm(const BenchOptions& options) {
  Lane lane(thread_count(options.threads));
  std::vector<kernels::GemmShape> shapes;
  for (const int rows : options.rows) {
    for (const auto& [k, n] : {std::pair{576, 960}, {576, 576}, {576, 3072}, {1536, 576}, {576, 49152}}) {
      shapes.push_back({.m = rows, .k = k, .n = n});
    }
  }
  std::vector<kernels::PeerProduct> peers;
  if (options.with_peers) {
    JIGSAW_ASSIGN_OR_RETURN(peers, peer_products(lane.num_threads()));
  }
  const kernels::GemmBench bench =
      kernels::bench_gemm(lane, shapes, peers, {.bf16_weights = options.weight_format == WeightFormat::kBf16});
  print_json_line({{"kernels", bench.variant},
                   {"weights", short_name(options.weight_format)},
                   {"threads", bench.num_threads},
                   {"fma_peak_gflops", bench.fma_peak_gflops},
                   {"read_gb_per_s", bench.read_bytes_per_s * 1e-9}});
  for (const kernels::GemmTiming& timing : bench.timings) {
    nlohmann::ordered_json line = {{"m", timing.shape.m},
                                   {"k", timing.shape.k},
                                   {"n", timing.shape.n},
                                   {"gflops", timing.gflops},
                                   {"share_of_fma_peak", timing.share_of_fma_peak},
                                   {"weight_gb_per_s", timing.weight_bytes_per_s * 1e-9}};
    for (std::size_t i = 0; i < peers.size(); ++i) line[peers[i].name + "_gflops"] = timing.peer_gflops[i];
    print_json_line(line);
  }
  return ok_status();
}

Status bench_migrate(const BenchOptions& options) {
  JIGSAW_ASSIGN_OR_RETURN(const std::unique_ptr<PolicyWeights> weights, load_model(options.model));
  JIGSAW_ASSIGN_OR_RETURN(const MigrateBenchResult result, run_migrate_bench(*weights, options.migrate));
  const auto pause_ms = [](const std::vector<double>& pauses_s) {
    return nlohmann::ordered_json{{"p50", 1e3 * quantile(pauses_s, 0.5)}, {"p99", 1e3 * quantile(pauses_s, 0.99)}};
  };
  print_json_line({{"sequences", options.migrate.sequences},
                   {"tokens", options.migrate.tokens},
                   {"payload_bytes", result.payload_bytes},
                   {"stream_mb_per_s", 1e-6 * result.stream_bytes_per_s},
                   {"kv_copy_plain_mb_per_s", 1e-6 * result.kv_copy_plain_bytes_per_s},
                   {"kv_copy_plain_of_stream", result.kv_copy_plain_bytes_per_s / result.stream_bytes_per_s},
                   {"kv_copy_curve_mb_per_s", 1e-6 * result.kv_copy_bytes_per_s},
                   {"curve_of_plain", result.kv_copy_bytes_per_s / result.kv_copy_plain_bytes_per_s},
                   {"prefill_tok_per_s", result.prefill_tokens_per_s},
                   {"recompute_tok_per_s", result.recompute_tokens_per_s},
                   {"recompute_of_prefill", result.recompute_tokens_per_s / result.prefill_tokens_per_s},
                   {"kv_copy_pause_ms", pause_ms(result.kv_copy_pauses_s)},
                   {"recompute_pause_ms", pause_ms(result.recompute_pauses_s)},
                   {"kernels", kernels::variant_name()}});
  return ok_status();
}

}  // namespace

void add_bench(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* bench = app.add_subcommand("bench", "Measures this machine; a JSON line a result");
  bench->require_subcommand(1);
  const auto add = [&](const std::string& name, const std::string& text, bool needs_model) {
    CLI::App* command = bench->add_subcommand(name, text);
    if (needs_model) command->add_option("--model", options->model, "Hugging Face folder or .gguf file")->required();
    command->add_option("--threads", options->threads, "Threads; 0 = all cores")->check(CLI::Range(0, 1024));
    command->add_flag("--json", options->json, "Output is JSON lines in any case");
    return command;
  };
  CLI::App* decode = add("decode", "Tokens a second of decoding, prefill and sampling excluded", true);
  decode->add_option("--batches", options->batches, "Sequences decoded together")->check(CLI::Range(1, 4096));
  decode->add_option("--prompt-tokens", options->decode.prompt_tokens, "Per sequence")->check(CLI::Range(1, 1 << 20));
  decode->add_option("--new-tokens", options->decode.new_tokens, "Timed tokens per sequence")
      ->check(CLI::Range(1, 1 << 20));
  decode->add_option("--repeats", options->decode.repeats, "Timed runs; the median is reported")
      ->check(CLI::Range(1, 1000));
  decode->add_flag("--engine", options->decode.through_engine,
                   "Time the rollout engine, log-probs and events included");
  add_weight_format_option(*decode, options->weight_format);
  decode->add_flag("--tail", options->tail_only,
                   "Time the last completions of a step instead, with and without speculation: code, free text, lists");
  decode->add_option("--siblings", options->tail.siblings, "--tail: completions of each prompt that have ended")
      ->check(CLI::Range(0, 1024));
  decode->add_option("--temperature", options->tail.temperature, "--tail: of the sampling")
      ->check(CLI::Range(0.0f, 100.0f));
  decode->callback([options, &exit_code] { exit_code = exit_code_of(bench_decode(*options)); });

  CLI::App* prefill = add("prefill", "Taking in a prompt: speed, and the time to the first tokens of a group", true);
  prefill->add_option("--prompt-tokens", options->prefill.prompt_tokens, "Of the prompt")
      ->check(CLI::Range(1, 1 << 16));
  prefill->add_option("--group", options->prefill.group, "Completions of one prompt")->check(CLI::Range(1, 1024));
  prefill->add_option("--repeats", options->prefill.repeats, "The median is reported")->check(CLI::Range(1, 1000));
  add_weight_format_option(*prefill, options->weight_format);
  prefill->callback([options, &exit_code] { exit_code = exit_code_of(bench_prefill(*options)); });

  CLI::App* step = add("step", "Seconds of a training step: forward, backward, update", true);
  step->add_option("--lengths", options->lengths, "Completions: COUNTxLENGTH,.. such as 7x16,1x256");
  step->add_option("--prompt-tokens", options->step.prompt_tokens, "Per sequence")->check(CLI::Range(1, 1 << 20));
  step->add_option("--group", options->step.group_size, "Completions a prompt")->check(CLI::Range(1, 4096));
  step->add_option("--steps", options->step.num_steps, "Steps; the first includes warm-up")->check(CLI::Range(1, 1000));
  step->add_option("--micro-batch-tokens", options->step.micro_batch_tokens, "Of one forward and backward")
      ->check(CLI::Range(1, 1 << 20));
  step->add_option("--algorithm", options->step.algorithm, "Name of the algorithm");
  step->add_option("--split-tokens", options->step.split_tokens, "Longer samples are trained in chunks; 0 = none")
      ->check(CLI::Range(0, 1 << 20));
  step->add_flag("--recompute", options->step.recompute_activations, "Recompute activations in the backward");
  add_weight_format_option(*step, options->weight_format);
  step->callback([options, &exit_code] { exit_code = exit_code_of(bench_step(*options)); });

  CLI::App* packing =
      bench->add_subcommand("packing", "Imbalance of an update's work over workers, for long-tailed lengths");
  packing->add_option("--batches", options->num_packed_batches, "Drawn batches; means over them are reported")
      ->check(CLI::Range(1, 100000));
  packing->add_option("--split-tokens", options->packing_split_tokens, "Samples beyond it can be shared, in chunks")
      ->check(CLI::Range(16, 1 << 20));
  packing->add_flag("--json", options->json, "Output is JSON lines in any case");
  packing->callback([options, &exit_code] { exit_code = exit_code_of(bench_packing(*options)); });

  CLI::App* gemm =
      add("gemm", "The product kernel at the shapes of SmolLM2-135M, beside the machine's peaks and other libraries",
          false);
  gemm->add_option("--rows", options->rows, "Rows M")->check(CLI::Range(1, 1 << 16));
  gemm->add_flag("!--no-peers", options->with_peers, "Leave out LibTorch and OpenBLAS");
  add_weight_format_option(*gemm, options->weight_format);
  gemm->callback([options, &exit_code] { exit_code = exit_code_of(bench_gemm(*options)); });

  CLI::App* migrate = add("migrate", "Moving running sequences between two workers on this machine", true);
  migrate->add_option("--sequences", options->migrate.sequences, "That move")->check(CLI::Range(1, 256));
  migrate->add_option("--tokens", options->migrate.tokens, "Of each sequence")->check(CLI::Range(2, 1 << 14));
  migrate->add_option("--repeats", options->migrate.repeats, "The median is reported")->check(CLI::Range(1, 1000));
  migrate->callback([options, &exit_code] { exit_code = exit_code_of(bench_migrate(*options)); });
}

}  // namespace jigsaw::cli
