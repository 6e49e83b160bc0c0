// The interface of scheduling policies. Pure: choose() looks and answers, touches nothing, and draws on nothing but its
// arguments; ties break by pipeline and node. The same code drives real workers and simulated ones.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/result.h"
#include "scheduler/plan.h"

namespace jigsaw {

// What the workers have to give.
struct Capacity {
  int num_workers = 0;
};

struct DispatchChoice {
  NodeRef node;
  double share = 1.0;  // weight of the node's quanta against others on its worker
  std::string reason;  // for the log and `plan --explain`
};

class Policy {
 public:
  virtual ~Policy() = default;
  virtual std::string_view name() const = 0;
  // Ready nodes to start now; the rest waits for the next event.
  virtual std::vector<DispatchChoice> choose(const Plan& plan, const Capacity& capacity,
                                             Clock::TimePoint now) const = 0;
};

// The registry's table. An unknown name is an error that lists the known ones.
std::vector<std::string> policy_names();
Result<std::unique_ptr<Policy>> make_policy(const std::string& name);

}  // namespace jigsaw
