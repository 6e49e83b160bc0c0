// Tokens that may come next in a sequence, as a tree: a child follows its parent, the first ones follow the sequence's
// last token. Grown as Yggdrasil does (arXiv 2512.23858): each step adds the same number of nodes, anywhere in the
// tree, those with the largest probability of their whole path. That never grows along a path, so the most probable
// nodes are connected, and pruning to a width is taking as many of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rollout/engine/draft_acceptance.h"
#include "rollout/engine/draft_index.h"

namespace jigsaw {

struct DraftNode {
  TokenId token = 0;
  int parent = -1;         // an earlier node; -1: the sequence's last token
  int depth = 1;           // of the path to it, itself included
  double probability = 0;  // estimate that the whole path is what will be drawn
  double share = 0;        // of the evidence for its siblings and itself
  int match_length = 0;    // longest context that spoke for it
};

class DraftTree {
 public:
  std::span<const DraftNode> nodes() const { return nodes_; }
  bool empty() const { return nodes_.empty(); }
  // The node with `token` after `parent`; -1 when there is none.
  int child(int parent, TokenId token) const;

  void clear() { nodes_.clear(); }
  int add(const DraftNode& node);
  // Leaves the nodes with kept[i], whose parents are kept too, and puts them in the order of branches: a node, its most
  // probable child, that one's, ..; then the branches that leave this one, deepest first.
  void keep(std::span<const std::uint8_t> kept);

 private:
  std::vector<DraftNode> nodes_;
};

struct DraftLimits {
  int width = 4;                  // nodes a step
  int num_nodes = 32;             // in all
  int depth = 32;                 // of the deepest
  double probability_min = 0.02;  // paths below this are not followed
};

// Grows trees out of what followed the same context before. Its memory is reused from tree to tree.
class DraftGrower {
 public:
  // Drafts what may follow the end of `text`.
  void grow(const DraftIndex& index, int text, const DraftAcceptance& acceptance, const DraftAcceptance& guess,
            const DraftLimits& limits, DraftTree& tree);

 private:
  // A node that could be added, and the places that speak for it: matches_[begin, end).
  struct Candidate {
    DraftNode node;
    std::size_t begin = 0, end = 0;
  };
  struct Continuation {
    TokenId token = 0;
    double weight = 0;
    int match_length = 0;
  };
  void propose(const DraftIndex& index, const DraftAcceptance& acceptance, const DraftAcceptance& guess,
               const DraftLimits& limits, int parent, int depth, double probability, std::size_t begin,
               std::size_t end);

  std::vector<DraftIndex::Match> matches_;
  std::vector<Candidate> frontier_;
  std::vector<Continuation> continuations_;
};

}  // namespace jigsaw
