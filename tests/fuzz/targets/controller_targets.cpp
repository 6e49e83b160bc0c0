// The controller over workers that behave, but for messages out of the input that come in between: as a worker's, or as
// those of `jigsaw ctl`. It must end the run with a result or an error, in bounded time.
#include <atomic>

#include "core/transport/curve_keys.h"
#include "scheduler/controller.h"
#include "tests/fuzz/fuzz_targets.h"
#include "tests/fuzz/input_cutter.h"
#include "tests/fuzz/quiet_protobuf.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_cluster.h"

namespace jigsaw::fuzz {
namespace {

constexpr int kReceivesMax = 4000;  // a run without disturbance takes some hundreds

class Silent : public RunObserver {
 public:
  Status on_step(const StepReport&) override { return ok_status(); }
  Status on_checkpoint(int, std::int64_t, const std::string&) override { return ok_status(); }
  void on_sample(int, std::int64_t, int, int) override {}
  void on_tick() override {}
};

// Parts of the input, each behind the number of messages to let pass before it (1 byte).
class Injections {
 public:
  explicit Injections(std::string_view bytes) : input_(bytes) { next(); }
  bool is_due() const { return has_one_ && wait_ == 0; }
  void pass() { wait_ -= wait_ > 0 ? 1 : 0; }
  std::string take() {
    std::string taken(part_);
    next();
    return taken;
  }

 private:
  void next() {
    has_one_ = !input_.empty();
    wait_ = input_.byte();
    part_ = input_.part();
  }
  InputCutter input_;
  bool has_one_ = false;
  int wait_ = 0;
  std::string_view part_;
};

// Of the workers; the first byte of an injected message says which one it is from.
class DisturbedCluster : public Transport {
 public:
  DisturbedCluster(FakeClock& clock, std::string_view bytes) : clock_(clock), cluster_(2, clock), injections_(bytes) {}

  Status send(PeerId to, std::string bytes) override {
    return to <= 2 ? cluster_.send(to, std::move(bytes)) : ok_status();
  }
  Result<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds wait) override {
    if (++num_receives_ > kReceivesMax) return Error(ErrorCode::kTimeout, "this is enough");
    if (injections_.is_due()) {
      std::string bytes = injections_.take();
      const PeerId from = bytes.empty() ? 1 : 1 + static_cast<std::uint8_t>(bytes[0]) % 3;
      wire::FromWorker message;
      bytes.erase(0, 1);
      // The controller watches, and kills, the process that a worker on its own machine says to be.
      if (message.ParseFromString(bytes) && message.has_hello()) {
        message.mutable_hello()->clear_machine();
        bytes = message.SerializeAsString();
      }
      // An injected third worker is one that joins; before it was admitted the transport would let nothing through.
      if (from <= 2 || has_third) return std::optional(ReceivedMessage{from, std::move(bytes)});
    }
    injections_.pass();
    if (wait.count() > 0) clock_.advance(std::chrono::milliseconds(1));
    return cluster_.receive(wait);
  }
  bool has_third = false;

 private:
  FakeClock& clock_;
  FakeCluster cluster_;
  Injections injections_;
  int num_receives_ = 0;
};

class DisturbedControl : public Transport {
 public:
  explicit DisturbedControl(std::string_view bytes) : injections_(bytes) {}
  Status send(PeerId, std::string bytes) override {
    wire::ControlReply reply;
    CHECK(reply.ParseFromString(bytes));
    return ok_status();
  }
  Result<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds) override {
    if (injections_.is_due()) return std::optional(ReceivedMessage{1, injections_.take()});
    injections_.pass();
    return std::optional<ReceivedMessage>();
  }

 private:
  Injections injections_;
};

PipelineSpec spec_of(const char* name) {
  PipelineSpec spec;
  spec.name = name;
  spec.steps = 3;
  spec.prompts_per_step = 2;
  spec.group_size = 2;
  spec.grad_slots = 2;
  spec.needs_reference = true;
  spec.checkpoint_every = 2;
  return spec;
}

void run_controller(std::string_view from_workers, std::string_view from_control) {
  quiet_protobuf();
  FakeClock clock;
  DisturbedCluster cluster(clock, from_workers);
  DisturbedControl control(from_control);
  Silent observer;
  PipelineSpec ahead = spec_of("b");
  ahead.updates_per_step = 2;
  ControllerOptions options;
  options.num_workers = 2;
  options.worker_timeout = std::chrono::seconds(5);
  options.checkpoint_root = "/nonexistent/jigsaw-fuzz/checkpoints";
  options.control = &control;
  options.admit = [&](PeerId, const std::string& key) -> Result<wire::ControlReply::Joined> {
    if (!is_curve_key(key)) return Error(ErrorCode::kInvalidArgument, "no key");
    cluster.has_third = true;
    return wire::ControlReply::Joined();
  };
  bool has_added = false;
  options.extend = [&](const std::string&, const std::string& yaml, const std::string&) -> Result<Addition> {
    if (std::exchange(has_added, true) || yaml.empty()) return Error(ErrorCode::kInvalidArgument, "not this one");
    return Addition{.job_yaml = yaml, .added_yaml = yaml, .specs = {spec_of("added")}};
  };
  Controller controller({spec_of("a"), ahead}, {StartPoint{}, StartPoint{}}, options, *make_policy("greedy"), cluster,
                        observer, clock);
  (void)controller.run();
}

}  // namespace

void from_worker(std::string_view bytes) {
  // One request to join early on, so that a third worker may come.
  static const std::string join = [] {
    wire::ControlRequest request;
    request.mutable_join()->set_public_key(std::string(40, '0'));
    const std::string text = request.SerializeAsString();
    return std::string("\x08") + static_cast<char>(text.size()) + '\0' + text;
  }();
  const bool joins = !bytes.empty() && (bytes[0] & 1) != 0;
  run_controller(bytes.substr(bytes.empty() ? 0 : 1), joins ? std::string_view(join) : std::string_view());
}

void control_request(std::string_view bytes) { run_controller({}, bytes); }

}  // namespace jigsaw::fuzz
