// A queue between threads with a bound. push() refuses when full, pop() waits a bounded time.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace jigsaw {

template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t size_max) : size_max_(size_max) {}

  // False, with `value` left as it was, when full.
  [[nodiscard]] bool push(T&& value) {
    {
      std::lock_guard lock(mutex_);
      if (values_.size() >= size_max_) return false;
      values_.push_back(std::move(value));
    }
    available_.notify_one();
    return true;
  }

  // Empty when nothing came within `wait`.
  std::optional<T> pop(std::chrono::milliseconds wait) {
    std::unique_lock lock(mutex_);
    if (!available_.wait_for(lock, wait, [this] { return !values_.empty(); })) return std::nullopt;
    T value = std::move(values_.front());
    values_.pop_front();
    return value;
  }

 private:
  const std::size_t size_max_;
  std::mutex mutex_;
  std::condition_variable available_;
  std::deque<T> values_;
};

}  // namespace jigsaw
