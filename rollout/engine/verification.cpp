#include "rollout/engine/verification.h"

#include <utility>

#include "core/check.h"

namespace jigsaw {

void Verification::begin(KvBlockPool& pool, Sequence& sequence, const DraftTree& tree) {
  sequence_ = &sequence;
  tree_ = &tree;
  num_nodes_ = 0;
  branches_.clear();
  const int pending = sequence.kv_length;
  branches_.push_back({.num_rows = 1, .position_begin = pending, .fork = {}});
  std::vector<int> branch_of_row{0};
  const std::span<const DraftNode> nodes = tree.nodes();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const int row = static_cast<int>(i) + 1, parent_row = nodes[i].parent + 1;
    const int position = pending + nodes[i].depth;
    if (parent_row != row - 1) {
      // Its ancestors' positions from the pending token on are written by this pass, into its copy too.
      KvBlockLease fork = sequence.lease.share_front(num_blocks_for(pending));
      if (!pool.try_make_writable(fork, pending, position)) break;
      branches_.push_back({.parent = branch_of_row[static_cast<std::size_t>(parent_row)],
                           .first_row = row,
                           .position_begin = position,
                           .fork = std::move(fork)});
    }
    Branch& branch = branches_.back();
    KvBlockLease& lease = branches_.size() == 1 ? sequence.lease : branch.fork;
    if (!pool.try_make_writable(lease, pending, position + 1)) break;
    ++branch.num_rows;
    branch_of_row.push_back(static_cast<int>(branches_.size()) - 1);
    ++num_nodes_;
  }
  if (branches_.back().num_rows == 0) branches_.pop_back();
}

void Verification::add_rows(std::vector<std::int32_t>& tokens, std::vector<SequenceRows>& rows) const {
  const auto first = static_cast<int>(rows.size());
  tokens.push_back(sequence_->tokens.back());
  for (const DraftNode& node : tree_->nodes().first(static_cast<std::size_t>(num_nodes_))) tokens.push_back(node.token);
  for (const Branch& branch : branches_) {
    rows.push_back({.num_rows = branch.num_rows,
                    .position_begin = branch.position_begin,
                    .blocks = branch.parent < 0 ? sequence_->lease.bases() : branch.fork.bases(),
                    .parent = branch.parent < 0 ? -1 : first + branch.parent});
  }
}

int Verification::next_row(int row, TokenId token) const {
  const int node = tree_->child(row - 1, token);
  return node >= 0 && node < num_nodes_ ? node + 1 : -1;
}

void Verification::accept(Sequence& sequence, int row) {
  for (Branch& branch : branches_) {
    if (row < branch.first_row || row >= branch.first_row + branch.num_rows) continue;
    sequence.kv_length = branch.position_begin + row - branch.first_row + 1;
    if (branch.parent >= 0) sequence.lease = std::move(branch.fork);
  }
  sequence.lease.keep_front(num_blocks_for(sequence.kv_length));
}

void Verification::end() { branches_.clear(); }

}  // namespace jigsaw
