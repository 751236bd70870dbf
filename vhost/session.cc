// SPDX-License-Identifier: MIT
#include "vhost/session.h"

#include <algorithm>

namespace tapferry {
namespace {

// So that signals, counters and the threads' troubles get their turn under a front-end that never stops asking.
constexpr unsigned kMessagesAtOnce = 64;

// What a failed request is acknowledged with; any number but 0 will do.
constexpr uint64_t kFailed = 1;

void append(std::vector<uint8_t>* payload, uint64_t number) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&number);
  payload->insert(payload->end(), bytes, bytes + sizeof number);
}

}  // namespace

Session::Session(Fd socket, NetDevice* device, Say say)
    : socket_(std::move(socket)), device_(*device), say_(std::move(say)) {}

Result<bool> Session::serve() {
  for (unsigned i = 0; i < kMessagesAtOnce;) {
    switch (TRY(reader_.read(socket_.get()))) {
      case MessageReader::Seen::kClosed: return false;
      case MessageReader::Seen::kMessage:
        TRY(handle(reader_.take()));
        ++i;
        break;
      case MessageReader::Seen::kPart:
        // A message's header is read before its payload.
        if (reader_.has_more()) break;
        TRY(reader_.check_overdue());
        return true;
    }
  }
  return true;
}

Status Session::handle(Message message) {
  const RequestRule* rule = find_request(message.request);
  if (rule == nullptr) {
    return refuse(message, Error("do", "request " + std::to_string(message.request), "no such request is known here"));
  }
  auto answer = perform(*rule, &message);
  if (!answer.is_ok()) {
    // A reply of its own can't say that the request failed.
    if (rule->has_reply) return std::move(answer).error();
    return refuse(message, answer.error());
  }
  std::vector<uint8_t> payload = std::move(answer).value().payload;
  if (!rule->has_reply) {
    if (!message.needs_reply) return {};
    append(&payload, 0);
  }
  return send_reply(socket_.get(), message.request, payload);
}

Result<Session::Answer> Session::perform(const RequestRule& rule, Message* message) {
  TRY(check_form(rule, *message));
  TRY(check_order(rule, *message, state()));
  Answer answer;
  TRY((this->*handler_of(rule.request))(message, &answer));
  return answer;
}

Status Session::refuse(const Message& message, const Error& error) {
  if (!message.needs_reply) return error;
  TRY(tell(error));
  std::vector<uint8_t> payload;
  append(&payload, kFailed);
  return send_reply(socket_.get(), message.request, payload);
}

// One line for each, and not without end.
Status Session::tell(const Error& error) {
  if (++refusals_ > kMaxRefusals) {
    return Error("serve", "the front-end", "more than " + std::to_string(kMaxRefusals) + " requests of it failed");
  }
  say_(error);
  return {};
}

RequestState Session::state() const {
  RequestState state;
  state.protocol_features = protocol_features_;
  state.has_features = device_.has_features();
  state.has_memory = device_.memory().slots() != 0;
  state.rings = device_.rings();
  for (unsigned ring = 0; ring < state.rings; ++ring) state.set_started(ring, device_.is_started(ring));
  return state;
}

Session::Handler Session::handler_of(Request request) {
  for (const Row* row = kHandlers;; ++row) {
    if (row->request == request) return row->handler;
  }
}

}  // namespace tapferry
