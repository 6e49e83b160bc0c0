#include "rollout/engine/speculator.h"

#include <algorithm>

#include "core/check.h"

namespace jigsaw {
namespace {

constexpr int kNodesMax = 48;           // of all trees of a pass
constexpr int kNodesOfOneMax = 24;      // of a tree
constexpr double kGainMin = 1.02;       // estimates err by as much
constexpr double kSearchShare = 0.005;  // of the time of passes, while drafts do not pay

}  // namespace

Speculator::GroupKey Speculator::key_of(const Sequence& sequence) {
  return {sequence.prefix_group, sequence.prefix_group == 0 ? sequence.arrival : 0};
}

void Speculator::begin(const Sequence& sequence) {
  ++groups_[key_of(sequence)].num_members;
  members_.emplace(sequence.arrival, Member{});
}

void Speculator::end(const Sequence& sequence) {
  const auto group = groups_.find(key_of(sequence));
  const auto member = members_.find(sequence.arrival);
  CHECK(group != groups_.end() && member != members_.end());
  if (--group->second.num_members == 0) {
    groups_.erase(group);
  } else {
    DraftIndex& index = group->second.index;
    const int text = member->second.text < 0 ? index.add_text(sequence.num_prompt) : member->second.text;
    index.extend(text, sequence.tokens);
  }
  members_.erase(member);
}

// By what has come since of the last draft: every drafted token whose place in the sequence is known by now.
void Speculator::learn(const Sequence& sequence, Member& member) {
  int parent = -1;
  for (int position = member.tree_begin; position < sequence.num_tokens(); ++position) {
    const TokenId drawn = sequence.tokens[static_cast<std::size_t>(position)];
    for (const DraftNode& node : member.tree.nodes()) {
      if (node.parent != parent) continue;
      member.acceptance.record(node.match_length, node.share, node.token == drawn);
      acceptance_.record(node.match_length, node.share, node.token == drawn);
    }
    parent = member.tree.child(parent, drawn);
    if (parent < 0) break;
  }
  member.tree.clear();
}

void Speculator::grow(const Sequence& sequence, int num_nodes, Member& member) {
  learn(sequence, member);
  DraftIndex& index = groups_.at(key_of(sequence)).index;
  if (member.text < 0) member.text = index.add_text(sequence.num_prompt);
  index.extend(member.text, sequence.tokens);
  member.tree_begin = sequence.num_tokens();
  if (index.length_of(member.text) != sequence.num_tokens()) return;  // the index is full
  // A pass draws a token more than it accepts drafts.
  const int depth =
      std::min(sequence.sampling.max_new_tokens - sequence.num_completion(), max_positions_ - sequence.num_tokens()) -
      1;
  if (depth < 1 || !sequence.speculation) return;
  grower_.grow(index, member.text, member.acceptance, acceptance_, {.num_nodes = num_nodes, .depth = depth},
               member.tree);
}

// How many of choices_, the most probable first. They are connected: a child is never more probable than its parent,
// and of equal ones the parent comes first.
std::size_t Speculator::choose(std::span<const PlannedRows> plan, int rows_max, const PassCost& cost) {
  choices_.clear();
  for (std::size_t entry = 0; entry < plan.size(); ++entry) {
    const std::span<const DraftNode> nodes = members_.at(plan[entry].sequence->arrival).tree.nodes();
    for (std::size_t node = 0; node < nodes.size(); ++node) choices_.push_back({nodes[node].probability, entry, node});
  }
  std::ranges::stable_sort(choices_, [](const Choice& a, const Choice& b) { return a.probability > b.probability; });

  const auto batch = static_cast<int>(plan.size());
  const std::size_t num_max = std::min(choices_.size(), static_cast<std::size_t>(rows_max - batch));
  double tokens = batch, best_rate = kGainMin * batch / cost.seconds(batch);
  std::size_t num_best = 0;
  for (std::size_t count = 1; count <= num_max; ++count) {
    tokens += choices_[count - 1].probability;
    const double rate = tokens / (cost.seconds(batch + static_cast<int>(count)) + draft_s_);
    if (rate > best_rate) {
      best_rate = rate;
      num_best = count;
    }
  }
  return num_best;
}

void Speculator::prune(std::span<const PlannedRows> plan, std::size_t num_chosen) {
  for (std::size_t entry = 0; entry < plan.size(); ++entry) {
    const DraftTree& grown = members_.at(plan[entry].sequence->arrival).tree;
    kept_.assign(grown.nodes().size(), 0);
    for (const Choice& choice : std::span(choices_).first(num_chosen)) {
      if (choice.entry == entry) kept_[choice.node] = 1;
    }
    trees_[entry] = grown;
    trees_[entry].keep(kept_);
  }
}

void Speculator::record_pass(int rows, int num_threads, std::chrono::duration<double> time) {
  if (rows <= PassCost::kRowsMax) costs_[num_threads].record(rows, time.count());
}

std::span<const DraftTree> Speculator::draft(std::span<const PlannedRows> plan, int rows_max, int num_threads) {
  trees_.resize(plan.size());
  for (DraftTree& tree : trees_) tree.clear();
  const auto batch = static_cast<int>(plan.size());
  rows_max = std::min(rows_max, PassCost::kRowsMax);
  const PassCost& cost = costs_[num_threads];
  if (batch >= rows_max || !std::ranges::all_of(plan, &PlannedRows::is_decode) || !cost.is_known(batch)) return trees_;
  if (passes_to_wait_ > 0) {
    --passes_to_wait_;
    return trees_;
  }
  const Clock::TimePoint begin = clock_.now();
  const int num_nodes = std::clamp(kNodesMax / batch, 1, kNodesOfOneMax);
  for (const PlannedRows& planned : plan) {
    grow(*planned.sequence, num_nodes, members_.at(planned.sequence->arrival));
  }
  const std::size_t num_chosen = choose(plan, rows_max, cost);
  if (num_chosen > 0) prune(plan, num_chosen);
  draft_s_ = std::chrono::duration<double>(clock_.now() - begin).count();
  if (num_chosen == 0) {
    passes_to_wait_ = static_cast<int>(std::min(64.0, draft_s_ / (kSearchShare * cost.seconds(batch))));
  }
  return trees_;
}

}  // namespace jigsaw
