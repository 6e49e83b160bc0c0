#include "workers/launch/mpi_exchange.h"

#include <algorithm>
#include <vector>

#include "core/check.h"

namespace jigsaw {
namespace {

constexpr int kPartialTag = 1, kResultTag = 2;
constexpr std::size_t kSegmentAlignment = 16;               // floats: a cache line
constexpr std::size_t kChunkFloats = std::size_t{1} << 28;  // of one message; MPI counts in int

class MpiExchange : public GradientExchange {
 public:
  explicit MpiExchange(MPI_Comm communicator) : communicator_(communicator) {
    MPI_Comm_rank(communicator_, &self_);
    MPI_Comm_size(communicator_, &num_workers_);
  }
  ~MpiExchange() override {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized == 0) MPI_Comm_free(&communicator_);
  }

  Status start(std::span<const std::uint32_t> owners, SlotSum& sum, std::span<float> result) override {
    CHECK(requests_.empty() && phase_ == Phase::kIdle);
    result_ = result;
    num_slots_ = static_cast<int>(owners.size());
    own_ = &sum;
    phase_ = Phase::kPartials;
    received_.clear();
    for (int peer = 0; peer < num_workers_; ++peer) {
      if (peer == self_) continue;
      for (const TreeNode node : partial_sums(owners, static_cast<std::uint32_t>(peer + 1))) {
        received_.push_back({node, AlignedFloats(segment(self_).size())});
        JIGSAW_RETURN_IF_ERROR(receive(received_.back().sum.span(), peer, kPartialTag));
      }
    }
    for (int peer = 0; peer < num_workers_; ++peer) {
      if (peer == self_) continue;
      const Segment part = segment(peer);
      for (const auto& [node, buffer] : sum.partials()) {
        JIGSAW_RETURN_IF_ERROR(send(buffer.span().subspan(part.begin, part.size()), peer, kPartialTag));
      }
    }
    return ok_status();
  }

  Result<bool> poll(Lane& lane) override {
    JIGSAW_ASSIGN_OR_RETURN(const bool all_here, test());
    if (!all_here) return false;
    if (phase_ == Phase::kPartials) {
      JIGSAW_RETURN_IF_ERROR(finish_segment(lane));
      JIGSAW_ASSIGN_OR_RETURN(const bool already, test());
      if (!already) return false;
    }
    phase_ = Phase::kIdle;
    return true;
  }

  std::string waiting_for() const override {
    if (phase_ == Phase::kIdle) return "";
    return std::string(phase_ == Phase::kPartials ? "gradients" : "the summed gradient") + " of the other workers";
  }

 private:
  enum class Phase { kIdle, kPartials, kResult };
  struct Segment {
    std::size_t begin = 0, end = 0;
    std::size_t size() const { return end - begin; }
  };
  struct Partial {
    TreeNode node;
    AlignedFloats sum;
  };

  // Worker `peer`'s part of the flat gradient (from 0).
  Segment segment(int peer) const {
    const std::size_t units = (result_.size() + kSegmentAlignment - 1) / kSegmentAlignment;
    const auto cut = [&](int i) {
      return std::min(result_.size(),
                      units * static_cast<std::size_t>(i) / static_cast<std::size_t>(num_workers_) * kSegmentAlignment);
    };
    return {cut(peer), cut(peer + 1)};
  }

  // All partial sums of the own segment are here: sum them and send the outcome round.
  Status finish_segment(Lane& lane) {
    const Segment own = segment(self_);
    SlotSum total(num_slots_);
    for (Partial& partial : received_) total.add(lane, partial.node, std::move(partial.sum));
    for (const auto& [node, buffer] : own_->partials()) {
      AlignedFloats part(own.size());
      std::copy_n(buffer.data() + own.begin, own.size(), part.data());
      total.add(lane, node, std::move(part));
    }
    CHECK(total.partials().size() == 1);
    std::copy_n(total.partials().begin()->second.data(), own.size(), result_.data() + own.begin);
    received_.clear();
    phase_ = Phase::kResult;
    for (int peer = 0; peer < num_workers_; ++peer) {
      if (peer == self_) continue;
      const Segment theirs = segment(peer);
      JIGSAW_RETURN_IF_ERROR(receive(result_.subspan(theirs.begin, theirs.size()), peer, kResultTag));
      JIGSAW_RETURN_IF_ERROR(send(result_.subspan(own.begin, own.size()), peer, kResultTag));
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
      requests_.push_back(request);
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
      requests_.push_back(request);
    }
    return ok_status();
  }

  Result<bool> test() {
    if (requests_.empty()) return true;
    int all_done = 0;
    if (MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &all_done, MPI_STATUSES_IGNORE) !=
        MPI_SUCCESS) {
      return Error(ErrorCode::kUnavailable, "exchanging gradients: a worker is gone");
    }
    if (all_done != 0) requests_.clear();
    return all_done != 0;
  }

  MPI_Comm communicator_;
  int self_ = 0, num_workers_ = 1;
  Phase phase_ = Phase::kIdle;
  int num_slots_ = 0;
  SlotSum* own_ = nullptr;
  std::span<float> result_;
  std::vector<Partial> received_;
  std::vector<MPI_Request> requests_;
};

}  // namespace

std::unique_ptr<GradientExchange> make_mpi_exchange(MPI_Comm communicator) {
  return std::make_unique<MpiExchange>(communicator);
}

}  // namespace jigsaw
