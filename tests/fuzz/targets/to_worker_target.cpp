#include "core/transport/curve_keys.h"
#include "core/transport/inproc_peer_links.h"
#include "core/wire/messages.pb.h"
#include "tests/fuzz/fuzz_targets.h"
#include "tests/fuzz/quiet_protobuf.h"
#include "workers/job/job_config.h"
#include "workers/stages/training_samples.h"
#include "workers/trainer/sample_checks.h"

namespace jigsaw::fuzz {
namespace {

// What stands between a batch and the trainer.
template <typename Trajectories>
void check_samples(const Trajectories& trajectories) {
  AlgorithmConfig algorithm;
  algorithm.beta = 0.1;
  for (const wire::Trajectory& trajectory : trajectories) {
    const TrainingSample sample = to_training_sample(trajectory);
    const std::vector<double> advantages(static_cast<std::size_t>(trajectory.logprobs_size()), 1.0);
    if (!check_for_model("sample", sample, {.vocab_size = 100, .max_positions = 64}).ok()) continue;
    CHECK(sample.prompt_length > 0 && sample.prompt_length < static_cast<int>(sample.tokens.size()));
    for (const auto token : sample.tokens) CHECK(token >= 0 && token < 100);
    (void)check_for_loss("sample", algorithm, sample, advantages);
  }
}

}  // namespace

// Workers believe their controller, so this is about what is decoded, and about the samples, which come from others.
void to_worker(std::string_view bytes) {
  quiet_protobuf();
  wire::ToWorker message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  wire::ToWorker again;
  CHECK(again.ParseFromString(message.SerializeAsString()));
  CHECK(again.message_case() == message.message_case());
  (void)read_job(message.start().job_yaml(), "/jobs/fuzz.yaml");
  check_samples(message.dispatch().update().trajectories());
  check_samples(message.dispatch().logprob().trajectories());
  InprocLinkHub hub(2);
  std::vector<PeerAddress> peers;
  for (const wire::Member& member : message.members().member()) {
    peers.push_back({member.worker(), member.endpoint(), member.public_key()});
    (void)is_curve_key(member.public_key());
  }
  (void)hub.links(1)->set_peers(peers);
}

}  // namespace jigsaw::fuzz
