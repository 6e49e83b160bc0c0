// Result<T>: a value or an Error. For failures that do happen (bad file, dead peer); our own bugs use CHECK.
// Values of these types are owned by the caller and may be moved between threads.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "core/check.h"

namespace jigsaw {

// What a caller may branch on. Everything else is in the message, which is for people.
enum class ErrorCode {
  kInvalidArgument,    // what the user gave is wrong: a config key, an option, a value
  kNotFound,           // a file, a model, a name that is not there
  kCorrupt,            // bytes from outside that break their format
  kUnsupported,        // well formed, but nothing here can do it
  kResourceExhausted,  // memory, disk, KV blocks
  kUnavailable,        // a peer or a process is gone
  kTimeout,            // a bounded wait ended
  kCancelled,          // asked to stop
  kInternal,           // a library failed where it should not
};

std::string_view to_string(ErrorCode code);

class [[nodiscard]] Error {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }
  // "loading /m/config.json: <message>". Who passes an error on adds where it happened.
  Error with_context(std::string_view context) const { return Error(code_, std::string(context) + ": " + message_); }

 private:
  ErrorCode code_;
  std::string message_;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(value()); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  T& value() & {
    if (!ok()) CHECK_FAILED("Result has no value: " + std::get<1>(state_).message());
    return std::get<0>(state_);
  }
  const T& value() const& {
    if (!ok()) CHECK_FAILED("Result has no value: " + std::get<1>(state_).message());
    return std::get<0>(state_);
  }
  T&& value() && { return std::move(static_cast<Result&>(*this).value()); }

  const Error& error() const {
    CHECK(!ok());
    return std::get<1>(state_);
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const {
    CHECK(!ok());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

inline Status ok_status() { return Status(); }

}  // namespace jigsaw

// Passes the error of a Status or Result on to the caller.
#define JIGSAW_RETURN_IF_ERROR(expr)                                                       \
  do {                                                                                     \
    if (auto jigsaw_status_ = (expr); !jigsaw_status_.ok()) return jigsaw_status_.error(); \
  } while (false)

#define JIGSAW_CONCAT_INNER(a, b) a##b
#define JIGSAW_CONCAT(a, b) JIGSAW_CONCAT_INNER(a, b)
// JIGSAW_ASSIGN_OR_RETURN(auto x, f()): x is f()'s value, or the function returns f()'s error.
#define JIGSAW_ASSIGN_OR_RETURN(declaration, expr) \
  JIGSAW_ASSIGN_OR_RETURN_INNER(JIGSAW_CONCAT(jigsaw_result_, __LINE__), declaration, expr)
#define JIGSAW_ASSIGN_OR_RETURN_INNER(result, declaration, expr) \
  auto result = (expr);                                          \
  if (!result.ok()) return result.error();                       \
  declaration = std::move(result).value()
