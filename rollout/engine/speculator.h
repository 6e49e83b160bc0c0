// Decides which drafted tokens a pass verifies besides the tokens it has to run: those that make the most of its time,
// (sequences + expected accepted drafts) / (measured seconds of a pass of so many rows), which may be none. Where the
// drafts come from: draft_index.h; how sure they are: draft_acceptance.h; what a row costs: pass_cost.h.
//
// Only speed depends on what it decides: the engine draws every token from the model's own logits, whether a draft said
// so before or not (verification.h). Engine thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "rollout/engine/batcher.h"
#include "rollout/engine/draft_acceptance.h"
#include "rollout/engine/draft_index.h"
#include "rollout/engine/draft_tree.h"
#include "rollout/engine/pass_cost.h"
#include "rollout/engine/sequence.h"

namespace jigsaw {

class Speculator {
 public:
  // `clock` outlives this.
  Speculator(const Clock& clock, int max_positions) : clock_(clock), max_positions_(max_positions) {}

  // A sequence enters the engine, and leaves it with its tokens. Those stay at hand until the last of its group leaves.
  void begin(const Sequence& sequence);
  void end(const Sequence& sequence);

  // What to verify with `plan`, an entry for an entry. Nothing but for passes of decoding sequences alone.
  std::span<const DraftTree> draft(std::span<const PlannedRows> plan, int rows_max, int num_threads);
  // A pass of as many rows, decoding ones and drafts alone, took so long from forward to draws.
  void record_pass(int rows, int num_threads, std::chrono::duration<double> time);

 private:
  struct Group {
    DraftIndex index;
    int num_members = 0;
  };
  using GroupKey = std::pair<std::uint64_t, std::uint64_t>;  // prefix group; arrival of those without one
  struct Member {
    int text = -1;  // in its group's index, once it was drafted for
    DraftAcceptance acceptance;
    DraftTree tree;      // the last draft, as it was grown
    int tree_begin = 0;  // tokens that the sequence had then
  };
  struct Choice {
    double probability;
    std::size_t entry;  // of the plan
    std::size_t node;
  };

  static GroupKey key_of(const Sequence& sequence);
  void grow(const Sequence& sequence, int num_nodes, Member& member);
  void learn(const Sequence& sequence, Member& member);
  std::size_t choose(std::span<const PlannedRows> plan, int rows_max, const PassCost& cost);
  void prune(std::span<const PlannedRows> plan, std::size_t num_chosen);

  const Clock& clock_;
  int max_positions_;
  std::map<GroupKey, Group> groups_;
  std::unordered_map<std::uint64_t, Member> members_;  // by arrival
  std::map<int, PassCost> costs_;                      // by threads of the lane
  DraftAcceptance acceptance_;                         // of all sequences
  DraftGrower grower_;
  double draft_s_ = 0;      // of the last draft() that looked for any
  int passes_to_wait_ = 0;  // before it looks again
  std::vector<DraftTree> trees_;
  std::vector<Choice> choices_;
  std::vector<std::uint8_t> kept_;
};

}  // namespace jigsaw
