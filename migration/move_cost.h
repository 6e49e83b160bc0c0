// Whether a sequence moves by its tokens alone, and is computed again, or with its keys and values: what takes less
// time, by the rates measured so far. Pure; one thread.
#pragma once

#include <cstdint>

namespace jigsaw {

// Amount a second, as a mean in which newer measurements weigh more.
class MeasuredRate {
 public:
  explicit MeasuredRate(double first_guess) : rate_(first_guess) {}
  void add(double amount, double seconds);
  double rate() const { return rate_; }

 private:
  double rate_;
  bool is_measured_ = false;
};

enum class MoveWay { kRecompute, kKvCopy };

class MoveCost {
 public:
  // Payload of a moved sequence, from when it stopped decoding to its acknowledgement.
  void on_copied(std::uint64_t bytes, double seconds) { link_.add(static_cast<double>(bytes), seconds); }
  // Rows of passes that were prefill for the most part.
  void on_prefilled(std::int64_t tokens, double seconds) { prefill_.add(static_cast<double>(tokens), seconds); }

  double link_bytes_per_s() const { return link_.rate(); }
  double prefill_tokens_per_s() const { return prefill_.rate(); }
  double copy_s(std::uint64_t kv_bytes) const { return static_cast<double>(kv_bytes) / link_.rate(); }
  double recompute_s(std::int64_t tokens) const { return static_cast<double>(tokens) / prefill_.rate(); }
  // Ties go to computing again, which needs no memory for what is on the way.
  MoveWay choose(std::uint64_t kv_bytes, std::int64_t tokens) const {
    return copy_s(kv_bytes) < recompute_s(tokens) ? MoveWay::kKvCopy : MoveWay::kRecompute;
  }

 private:
  // Until something is measured, sequences are computed again unless they are long.
  MeasuredRate link_{200e6};
  MeasuredRate prefill_{2000};
};

}  // namespace jigsaw
