// How a tree of drafted tokens goes through a forward pass, and how the tokens that are drawn follow it.
//
// A sequence's last token and the most probable path of its tree are a chunk of consecutive rows, as in a prefill.
// Every other branch is a fork of the sequence: it shares the full blocks, has a copy of the others, and its rows stand
// at the positions after those of its parent. Attention thus needs nothing new, and each row computes what it would
// compute if its path had been drawn token by token. Drawing then goes from the last token's row to the row of the
// token drawn, as long as that was drafted, and the fork that it ends in becomes the sequence; the other forks and
// positions are dropped.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rollout/engine/draft_tree.h"
#include "rollout/engine/kv_block_pool.h"
#include "rollout/engine/sequence.h"
#include "rollout/models/transformer.h"

namespace jigsaw {

class Verification {
 public:
  // Obtains the blocks for the pending token of `sequence`, which has them already, and for as much of `tree` as the
  // free blocks of the pool hold: drafts never take a block from anybody. `tree` is in the order of branches (keep()).
  void begin(KvBlockPool& pool, Sequence& sequence, const DraftTree& tree);
  // Appends the rows: the pending token first, then a row a node.
  void add_rows(std::vector<std::int32_t>& tokens, std::vector<SequenceRows>& rows) const;
  int num_drafts() const { return num_nodes_; }

  // Rows count from that of the pending token, 0. The row of the node with `token` after that of `row`; -1: not
  // drafted.
  int next_row(int row, TokenId token) const;
  // The sequence goes on after `row`, whose position is the last that counts.
  void accept(Sequence& sequence, int row);
  // Gives the blocks of rejected branches back.
  void end();

 private:
  struct Branch {
    int parent = -1;  // an earlier branch; -1: the first one, which begins with the pending token
    int first_row = 0;
    int num_rows = 0;
    int position_begin = 0;
    KvBlockLease fork;  // empty for the first
  };

  Sequence* sequence_ = nullptr;
  const DraftTree* tree_ = nullptr;
  int num_nodes_ = 0;  // of the tree, the first ones
  std::vector<Branch> branches_;
};

}  // namespace jigsaw
