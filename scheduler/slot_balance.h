// Which worker computes which gradient slot of an update, so that all are done at about the same time (after WLB-LLM,
// arXiv 2503.17924: balance by predicted work, not by tokens). Pure functions.
//
// The samples of a slot and the order in which slots are added are functions of the batch alone, so whatever is chosen
// here, the gradient has the same bits. Micro-batches of one worker run one after the other and need no balance; their
// bound on tokens is the trainer's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace jigsaw {

// Gradient-sized sums of a worker that takes its slots in order and adds all it can by the slot tree
// (workers/trainer/slot_tree.h).
struct HeldSums {
  int most = 0;    // at once, the one just computed included
  int at_end = 0;  // what the others are sent: one for runs that the tree adds up, up to one a slot for scattered slots
};
HeldSums held_sums(std::span<const std::uint32_t> owners, std::uint32_t worker);
// What balanced_slot_owners() keeps to, and what one worker alone needs: memory is planned for that.
HeldSums held_sums_max(int num_slots);

// Workers 1 .. num_workers by slot, for the predicted `work` of each slot. Starts from equal runs of neighbours, which
// leave the fewest sums to exchange, and departs from them only where the busiest worker then has at least 2 % less to
// do. `others`: by worker, the first one's first, what else has to be done there beside it, in units of `work`; empty =
// nothing anywhere. `runs`: lengths of the runs of neighbours that have one owner each; empty = every slot has its own.
std::vector<std::uint32_t> balanced_slot_owners(std::span<const double> work, int num_workers,
                                                std::span<const double> others = {}, std::span<const int> runs = {});

// The same for an update with samples that are cut (graph/chunk_pairs.h), whose pairs come before the slots in the slot
// tree. Pairs of a sample go to several workers when it dominates, with 10 % more work than an even share of all, so
// that no placement of the whole would do; else one worker has them all.
struct DealtUpdate {
  std::vector<std::uint32_t> pair_owners, slot_owners;
  double imbalance = 1;
};
// num_pairs: of each sample, 0 for those that are not cut; pair_work has as many elements in all.
DealtUpdate deal_update(std::span<const double> pair_work, std::span<const int> num_pairs,
                        std::span<const double> slot_work, int num_workers, std::span<const double> others = {});

// Work of the busiest worker over the mean; 1 is perfect, and for work of nothing.
double imbalance(std::span<const double> work, std::span<const std::uint32_t> owners, int num_workers);

}  // namespace jigsaw
