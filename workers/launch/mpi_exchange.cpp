#include "workers/launch/mpi_exchange.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/log.h"
#include "workers/reduction/segment_sum.h"

namespace jigsaw {
namespace {

constexpr int kPartialTag = 1, kResultTag = 2;
// Tests without a message that has ended before the thread sleeps: a message moves in pieces, one or a few a test.
constexpr int kIdleTestsMax = 50;
constexpr std::chrono::microseconds kIdleWait{100};
constexpr std::size_t kChunkFloats = std::size_t{1} << 18;  // of one message

// The transfers run on a thread of their own, so that they go on while the executor computes: MPI moves large messages
// only while somebody calls it, and a quantum can be long.
class MpiExchange : public GradientExchange {
 public:
  explicit MpiExchange(MPI_Comm communicator) : communicator_(communicator) {
    MPI_Comm_rank(communicator_, &self_);
    MPI_Comm_size(communicator_, &num_workers_);
    thread_ = std::jthread([this](std::stop_token stop) { serve(stop); });
  }
  ~MpiExchange() override {
    stop_thread();
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized == 0 && !is_abandoned_) MPI_Comm_free(&communicator_);
  }

  Status start(ExchangeWork work, SlotSum sum, std::size_t num_floats) override {
    const std::scoped_lock lock(mutex_);
    CHECK(phase_ == Phase::kIdle && !is_abandoned_);
    CHECK(work.participants.size() == static_cast<std::size_t>(num_workers_));
    owners_ = std::move(work.owners);
    buffers_.result = sum.take_buffer(num_floats);
    buffers_.own = std::move(sum);
    phase_ = Phase::kPartials;
    changed_.notify_all();
    return ok_status();
  }

  Result<std::optional<AlignedFloats>> poll() override {
    const std::scoped_lock lock(mutex_);
    if (!std::exchange(has_result_, false)) return std::optional<AlignedFloats>();
    return std::optional<AlignedFloats>(std::move(buffers_.result));
  }

  // MPI keeps its hands on the buffers of transfers that do not end, and has no way to take them from it: they stay
  // until the process ends.
  void abandon() override {
    stop_thread();
    is_abandoned_ = true;
    static auto* const kept = new std::vector<Buffers>();
    if (!buffers_.requests.empty()) kept->push_back(std::move(buffers_));
  }

  std::string waiting_for() const override {
    const std::scoped_lock lock(mutex_);
    if (phase_ == Phase::kIdle) return "";
    return std::string(phase_ == Phase::kPartials ? "gradients" : "the summed gradient") + " of the other workers";
  }

 private:
  enum class Phase { kIdle, kPartials, kResult };
  // What MPI reads and writes.
  struct Buffers {
    SlotSum own{0};
    AlignedFloats result;
    std::vector<SegmentPartial> received;
    std::vector<MPI_Request> requests;
  };

  void stop_thread() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    changed_.notify_all();
    thread_.join();
  }

  // The thread: one exchange after the other.
  void serve(std::stop_token stop) {
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [&] { return phase_ == Phase::kPartials; })) {
      lock.unlock();
      const Status outcome = exchange(stop);
      lock.lock();
      if (!outcome.ok() && !stop.stop_requested()) {
        // This thread has noticed before the controller has.
        log_warning("exchange.broken", "error=\"{}\": a worker is gone; waiting for the controller to go on without it",
                    outcome.error().message());
        changed_.wait(lock, stop, [] { return false; });
      }
      phase_ = Phase::kIdle;
      if (stop.stop_requested()) return;
      has_result_ = true;
    }
  }

  Status exchange(const std::stop_token& stop) {
    buffers_.received.clear();
    for (int peer = 0; peer < num_workers_; ++peer) {
      if (peer == self_) continue;
      for (const TreeNode node : partial_sums(owners_, static_cast<std::uint32_t>(peer + 1))) {
        buffers_.received.push_back({node, AlignedFloats(segment(self_).size())});
        JIGSAW_RETURN_IF_ERROR(receive(buffers_.received.back().sum.span(), peer, kPartialTag));
      }
    }
    for (int peer = 0; peer < num_workers_; ++peer) {
      if (peer == self_) continue;
      const Segment part = segment(peer);
      for (const auto& [node, buffer] : buffers_.own.partials()) {
        JIGSAW_RETURN_IF_ERROR(send(buffer.span().subspan(part.begin, part.size()), peer, kPartialTag));
      }
    }
    JIGSAW_RETURN_IF_ERROR(finish_transfers(stop));
    if (stop.stop_requested()) return ok_status();
    {
      const std::scoped_lock lock(mutex_);
      phase_ = Phase::kResult;
    }
    JIGSAW_RETURN_IF_ERROR(finish_segment());
    return finish_transfers(stop);
  }

  // Until all requests are done, or `stop`. How long peers take is not for this thread to judge; the controller notices
  // who is gone.
  Status finish_transfers(const std::stop_token& stop) {
    int idle_tests = 0;
    std::vector<MPI_Request>& requests = buffers_.requests;
    while (!requests.empty() && !stop.stop_requested()) {
      int num_done = 0;
      done_.resize(requests.size());
      if (MPI_Testsome(static_cast<int>(requests.size()), requests.data(), &num_done, done_.data(),
                       MPI_STATUSES_IGNORE) != MPI_SUCCESS) {
        return Error(ErrorCode::kUnavailable, "exchanging gradients");
      }
      if (num_done > 0) {
        std::erase(requests, MPI_REQUEST_NULL);
        idle_tests = 0;
      } else if (++idle_tests > kIdleTestsMax) {
        std::this_thread::sleep_for(kIdleWait);
      } else {
        std::this_thread::yield();
      }
    }
    return ok_status();
  }

  // Worker `peer`'s part of the flat gradient (from 0).
  Segment segment(int peer) const { return segment_of(buffers_.result.size(), peer, num_workers_); }

  // All partial sums of the own segment are here: sum them and send the outcome round.
  Status finish_segment() {
    const Segment own = segment(self_);
    const AlignedFloats sum =
        sum_segment(static_cast<int>(owners_.size()), buffers_.own, own, std::exchange(buffers_.received, {}));
    const std::span<float> result = buffers_.result.span();
    std::copy_n(sum.data(), own.size(), result.data() + own.begin);
    for (int peer = 0; peer < num_workers_; ++peer) {
      if (peer == self_) continue;
      const Segment theirs = segment(peer);
      JIGSAW_RETURN_IF_ERROR(receive(result.subspan(theirs.begin, theirs.size()), peer, kResultTag));
      JIGSAW_RETURN_IF_ERROR(send(result.subspan(own.begin, own.size()), peer, kResultTag));
    }
    return ok_status();
  }

  Status send(std::span<const float> floats, int peer, int tag) {
    for (std::size_t begin = 0; begin < floats.size(); begin += kChunkFloats) {
      const std::size_t count = std::min(kChunkFloats, floats.size() - begin);
      MPI_Request request;
      if (MPI_Isend(floats.data() + begin, static_cast<int>(count), MPI_FLOAT, peer, tag, communicator_, &request) !=
          MPI_SUCCESS) {
        return Error(ErrorCode::kUnavailable, "sending gradients to worker " + std::to_string(peer + 1));
      }
      buffers_.requests.push_back(request);
    }
    return ok_status();
  }

  Status receive(std::span<float> floats, int peer, int tag) {
    for (std::size_t begin = 0; begin < floats.size(); begin += kChunkFloats) {
      const std::size_t count = std::min(kChunkFloats, floats.size() - begin);
      MPI_Request request;
      if (MPI_Irecv(floats.data() + begin, static_cast<int>(count), MPI_FLOAT, peer, tag, communicator_, &request) !=
          MPI_SUCCESS) {
        return Error(ErrorCode::kUnavailable, "receiving gradients of worker " + std::to_string(peer + 1));
      }
      buffers_.requests.push_back(request);
    }
    return ok_status();
  }

  MPI_Comm communicator_;
  int self_ = 0, num_workers_ = 1;
  bool is_abandoned_ = false;  // the executor thread's own
  mutable std::mutex mutex_;   // guards what follows, but that owners and buffers are the thread's while it exchanges
  std::condition_variable_any changed_;
  Phase phase_ = Phase::kIdle;
  std::vector<std::uint32_t> owners_;
  Buffers buffers_;
  bool has_result_ = false;
  std::vector<int> done_;  // the thread's own
  std::jthread thread_;
};

}  // namespace

std::unique_ptr<GradientExchange> make_mpi_exchange(MPI_Comm communicator) {
  return std::make_unique<MpiExchange>(communicator);
}

}  // namespace jigsaw
