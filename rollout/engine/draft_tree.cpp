#include "rollout/engine/draft_tree.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace jigsaw {
namespace {

constexpr std::size_t kChildrenMax = 4;

// A place whose context is a token longer counts as much as four others.
double weight_of(int match_length) { return std::exp2(2 * std::min(match_length, 12)); }

}  // namespace

int DraftTree::child(int parent, TokenId token) const {
  for (std::size_t i = static_cast<std::size_t>(parent + 1); i < nodes_.size(); ++i) {
    if (nodes_[i].parent == parent && nodes_[i].token == token) return static_cast<int>(i);
  }
  return -1;
}

int DraftTree::add(const DraftNode& node) {
  CHECK(node.parent >= -1 && node.parent < static_cast<int>(nodes_.size()));
  nodes_.push_back(node);
  return static_cast<int>(nodes_.size()) - 1;
}

void DraftTree::keep(std::span<const std::uint8_t> kept) {
  CHECK(kept.size() == nodes_.size());
  const std::vector<DraftNode> old = std::move(nodes_);
  nodes_.clear();
  std::vector<int> place(old.size(), -1);
  // Of the branches still to come the last one is next: it leaves deepest. Their nodes are old indices.
  std::vector<int> branches;
  const auto children_of = [&](int parent) {
    std::vector<int> children;
    for (std::size_t i = 0; i < old.size(); ++i) {
      if (kept[i] != 0 && old[i].parent == parent) children.push_back(static_cast<int>(i));
    }
    std::ranges::stable_sort(children, [&](int a, int b) {
      return old[static_cast<std::size_t>(a)].probability > old[static_cast<std::size_t>(b)].probability;
    });
    return children;
  };
  const auto follow = [&](int parent) {  // the first child goes on, the others wait
    const std::vector<int> children = children_of(parent);
    branches.insert(branches.end(), children.rbegin(), children.rend());
  };
  follow(-1);
  while (!branches.empty()) {
    const int node = branches.back();
    branches.pop_back();
    DraftNode moved = old[static_cast<std::size_t>(node)];
    if (moved.parent >= 0) moved.parent = place[static_cast<std::size_t>(moved.parent)];
    place[static_cast<std::size_t>(node)] = add(moved);
    follow(node);
  }
}

void DraftGrower::propose(const DraftIndex& index, const DraftAcceptance& acceptance, const DraftAcceptance& guess,
                          const DraftLimits& limits, int parent, int depth, double probability, std::size_t begin,
                          std::size_t end) {
  continuations_.clear();
  double total = 0;
  for (std::size_t i = begin; i < end; ++i) {
    const DraftIndex::Match& match = matches_[i];
    const TokenId token = index.token(match.text, match.position);
    const double weight = weight_of(match.length);
    total += weight;
    const auto known = std::ranges::find(continuations_, token, &Continuation::token);
    if (known == continuations_.end()) {
      continuations_.push_back({token, weight, match.length});
    } else {
      known->weight += weight;
      known->match_length = std::max(known->match_length, match.length);
    }
  }
  std::ranges::stable_sort(continuations_, [](const auto& a, const auto& b) { return a.weight > b.weight; });
  if (continuations_.size() > kChildrenMax) continuations_.resize(kChildrenMax);
  for (const Continuation& next : continuations_) {
    const double share = next.weight / total;
    const double path = probability * share * acceptance.probability(next.match_length, guess);
    if (path < limits.probability_min) continue;
    Candidate candidate{.node = {.token = next.token,
                                 .parent = parent,
                                 .depth = depth,
                                 .probability = path,
                                 .share = share,
                                 .match_length = next.match_length},
                        .begin = matches_.size()};
    for (std::size_t i = begin; i < end; ++i) {
      const DraftIndex::Match match = matches_[i];
      if (index.token(match.text, match.position) != next.token) continue;
      if (match.position + 1 < index.length_of(match.text)) {
        matches_.push_back({match.text, match.position + 1, match.length + 1});
      }
    }
    candidate.end = matches_.size();
    frontier_.push_back(candidate);
  }
}

void DraftGrower::grow(const DraftIndex& index, int text, const DraftAcceptance& acceptance,
                       const DraftAcceptance& guess, const DraftLimits& limits, DraftTree& tree) {
  tree.clear();
  matches_.clear();
  frontier_.clear();
  index.find(text, matches_);
  propose(index, acceptance, guess, limits, -1, 1, 1.0, 0, matches_.size());
  std::vector<Candidate> added;
  while (!frontier_.empty() && static_cast<int>(tree.nodes().size()) < limits.num_nodes) {
    const auto width = std::min({static_cast<std::size_t>(limits.width), frontier_.size(),
                                 static_cast<std::size_t>(limits.num_nodes) - tree.nodes().size()});
    std::ranges::stable_sort(
        frontier_, [](const Candidate& a, const Candidate& b) { return a.node.probability > b.node.probability; });
    added.assign(frontier_.begin(), frontier_.begin() + static_cast<std::ptrdiff_t>(width));
    frontier_.erase(frontier_.begin(), frontier_.begin() + static_cast<std::ptrdiff_t>(width));
    for (const Candidate& candidate : added) {
      const int node = tree.add(candidate.node);
      if (candidate.node.depth >= limits.depth) continue;
      propose(index, acceptance, guess, limits, node, candidate.node.depth + 1, candidate.node.probability,
              candidate.begin, candidate.end);
    }
  }
}

}  // namespace jigsaw
