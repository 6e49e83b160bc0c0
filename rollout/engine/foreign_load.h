// How busy everything else kept the machine since this object was made: a timing taken under load is no result. One
// busy loop of another process slows decoding on two cores many times over, since its threads wait for each other.
#pragma once

namespace jigsaw {

class ForeignLoad {
 public:
  ForeignLoad() : start_(now()) {}
  // Cores kept busy by others on average, time stolen by the hypervisor included; 0 where /proc/stat cannot be read.
  double cores() const;

 private:
  struct Seconds {
    double wall = 0, all_busy = 0, own_busy = 0;
  };
  static Seconds now();
  Seconds start_;
};

}  // namespace jigsaw
