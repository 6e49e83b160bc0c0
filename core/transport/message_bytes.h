// The bytes of a message as they came: in one piece, read only, in the memory of whoever received them, without a copy.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace jigsaw {

class MessageBytes {
 public:
  MessageBytes() = default;
  // Implicit: most of what is sent is a string.
  MessageBytes(std::string bytes) : MessageBytes(std::make_shared<const std::string>(std::move(bytes))) {}
  // `view` is in memory that lives for as long as `owner`.
  MessageBytes(std::shared_ptr<const void> owner, std::string_view view) : owner_(std::move(owner)), view_(view) {}

  std::string_view view() const { return view_; }
  operator std::string_view() const { return view_; }
  bool operator==(std::string_view other) const { return view_ == other; }
  std::size_t size() const { return view_.size(); }
  // Into a Protobuf message; false when the bytes are none.
  template <typename Message>
  bool parse_into(Message& message) const {
    return message.ParseFromArray(view_.data(), static_cast<int>(view_.size()));
  }

 private:
  explicit MessageBytes(std::shared_ptr<const std::string> bytes) : owner_(bytes), view_(*bytes) {}

  std::shared_ptr<const void> owner_;
  std::string_view view_;
};

}  // namespace jigsaw
