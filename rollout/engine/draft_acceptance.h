// How often a drafted token was the one drawn, by the length of the context that it rests on. Of one sequence, with
// what all sequences of the engine have seen as its first guess: lists differ from free text, and mostly within a few
// tokens.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

namespace jigsaw {

class DraftAcceptance {
 public:
  // Before anything is known.
  DraftAcceptance() {
    for (std::size_t i = 0; i < kClasses; ++i) hits_[i] = kFirstGuess[i] * (trials_[i] = 1);
  }

  // Share of trials that hit, with `guess` worth kGuessTrials trials.
  double probability(int match_length, const DraftAcceptance& guess) const {
    const std::size_t i = class_of(match_length);
    return (hits_[i] + kGuessTrials * guess.hits_[i] / guess.trials_[i]) / (trials_[i] + kGuessTrials);
  }

  // `share`: how much of the evidence was for this token. Of tokens that compete, the shares add up to one trial.
  void record(int match_length, double share, bool hit) {
    const std::size_t i = class_of(match_length);
    hits_[i] = kMemory * hits_[i] + (hit ? 1 : 0);
    trials_[i] = kMemory * trials_[i] + share;
    // Shares that were wrong would make a probability of more than one.
    hits_[i] = std::min(hits_[i], trials_[i]);
  }

 private:
  static constexpr std::size_t kClasses = 8;
  static constexpr std::array<double, kClasses> kFirstGuess{0.1, 0.2, 0.35, 0.45, 0.55, 0.65, 0.75, 0.9};
  static constexpr double kGuessTrials = 4, kMemory = 0.98;

  static std::size_t class_of(int length) {
    if (length <= 4) return static_cast<std::size_t>(std::max(length, 1) - 1);
    return length <= 6 ? 4 : length <= 8 ? 5 : length <= 12 ? 6 : 7;
  }

  std::array<double, kClasses> hits_{}, trials_{};
};

}  // namespace jigsaw
