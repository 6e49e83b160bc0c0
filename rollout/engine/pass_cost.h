// What a forward pass of n rows takes, as measured while it is used: the time side of the decision how many drafted
// tokens are worth a row. Rows that have not been measured (lately) are read off their neighbours. A value.
#pragma once

#include <array>
#include <cstdint>

namespace jigsaw {

class PassCost {
 public:
  static constexpr int kRowsMax = 64;

  // A pass of `rows` (1 to kRowsMax) took so long.
  void record(int rows, double seconds);
  // Measured at least twice, and lately: what speculation is compared with has to be.
  bool is_known(int rows) const;
  // Only meaningful once something was recorded.
  double seconds(int rows) const;

 private:
  struct Entry {
    double seconds = 0;
    int count = 0;
    std::int64_t last_pass = 0;
  };
  bool is_fresh(const Entry& entry) const;
  const Entry& entry(int rows) const { return entries_[static_cast<std::size_t>(rows)]; }

  std::array<Entry, kRowsMax + 1> entries_{};
  std::int64_t num_passes_ = 0;
  int smallest_ = kRowsMax;  // of those ever measured
};

}  // namespace jigsaw
