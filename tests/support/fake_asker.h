// Who asks a controller for something, as `jigsaw ctl` and `jigsaw worker --join` do: the control Transport of a
// Controller. Each request is made once its moment has come; the answers are kept in order.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/transport/transport.h"
#include "core/wire/control_messages.pb.h"

namespace jigsaw {

class FakeAsker : public Transport {
 public:
  using Moment = std::function<bool()>;

  // Moments are looked at in order: the second request is not made before the first.
  void ask(
      wire::ControlRequest request, Moment moment = [] { return true; }) {
    ask_bytes(request.SerializeAsString(), std::move(moment));
  }
  void ask_bytes(
      std::string bytes, Moment moment = [] { return true; }) {
    requests_.push_back({std::move(moment), std::move(bytes)});
  }
  std::vector<wire::ControlReply> replies;

  Status send(PeerId to, std::string bytes) override {
    CHECK(to == kAsker);
    CHECK(replies.emplace_back().ParseFromString(bytes));
    return ok_status();
  }
  Result<std::optional<ReceivedMessage>> receive(std::chrono::milliseconds wait) override {
    CHECK(wait.count() == 0);  // the controller has other things to do
    if (requests_.empty() || !requests_.front().moment()) return std::optional<ReceivedMessage>();
    std::string bytes = std::move(requests_.front().bytes);
    requests_.pop_front();
    return std::optional<ReceivedMessage>(ReceivedMessage{kAsker, std::move(bytes)});
  }

 private:
  static constexpr PeerId kAsker = 1;
  struct Request {
    Moment moment;
    std::string bytes;
  };
  std::deque<Request> requests_;
};

inline wire::ControlRequest status_request() {
  wire::ControlRequest request;
  request.mutable_status();
  return request;
}
inline wire::ControlRequest pause_request(const std::string& pipeline) {
  wire::ControlRequest request;
  request.mutable_pause()->set_name(pipeline);
  return request;
}
inline wire::ControlRequest resume_request(const std::string& pipeline) {
  wire::ControlRequest request;
  request.mutable_resume()->set_name(pipeline);
  return request;
}
inline wire::ControlRequest cancel_request(const std::string& pipeline) {
  wire::ControlRequest request;
  request.mutable_cancel()->set_name(pipeline);
  return request;
}
inline wire::ControlRequest weight_request(const std::string& pipeline, double weight) {
  wire::ControlRequest request;
  request.mutable_weight()->set_name(pipeline);
  request.mutable_weight()->set_weight(weight);
  return request;
}
inline wire::ControlRequest add_request(const std::string& yaml) {
  wire::ControlRequest request;
  request.mutable_add()->set_yaml(yaml);
  request.mutable_add()->set_file("more.yaml");
  return request;
}
inline wire::ControlRequest join_request(const std::string& public_key = "key") {
  wire::ControlRequest request;
  request.mutable_join()->set_public_key(public_key);
  return request;
}

}  // namespace jigsaw
