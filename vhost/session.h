// SPDX-License-Identifier: MIT
//
// One front-end's connection: its requests, checked against their table (vhost/requests.h), become changes of the device.
//
// What a request does wrong is told in one line that names it. A front-end that asked for an acknowledgement is told, too, and may
// go on, a limited number of times; one that didn't ask would believe that all is well, so its connection ends. It also ends with
// a message that can't be told from the next one.
#pragma once

#include <functional>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "vhost/message.h"
#include "vhost/net_device.h"
#include "vhost/requests.h"

namespace tapferry {

// Requests that a connection may get wrong.
inline constexpr unsigned kMaxRefusals = 32;

class Session {
 public:
  using Say = std::function<void(const Error&)>;

  // `device` must outlive it. `say` gets what doesn't end the session.
  Session(Fd socket, NetDevice* device, Say say);

  // To poll for reading, for timeout_ms() at most (-1: without end); then serve().
  int fd() const { return socket_.get(); }
  int timeout_ms() const { return reader_.timeout_ms(); }

  // Reads what has come, never waiting for more, and does it: a few messages at most. False: the peer has closed. An error is
  // why the session is over.
  Result<bool> serve();

 private:
  struct Answer {
    std::vector<uint8_t> payload;  // of a request that has a reply
  };
  using Handler = Status (Session::*)(Message*, Answer*);
  struct Row {
    Request request;
    Handler handler;
  };
  static const Row kHandlers[];
  static Handler handler_of(Request request);

  Status handle(Message message);
  Result<Answer> perform(const RequestRule& rule, Message* message);
  Status refuse(const Message& message, const Error& error);
  Status tell(const Error& error);
  RequestState state() const;

  // One for each request; vhost/session_requests.cc.
  Status get_features(Message*, Answer*);
  Status set_features(Message*, Answer*);
  Status ignore(Message*, Answer*);
  Status set_mem_table(Message*, Answer*);
  Status set_log_base(Message*, Answer*);
  Status set_vring_num(Message*, Answer*);
  Status set_vring_addr(Message*, Answer*);
  Status set_vring_base(Message*, Answer*);
  Status get_vring_base(Message*, Answer*);
  Status set_vring_kick(Message*, Answer*);
  Status set_vring_call(Message*, Answer*);
  Status set_vring_err(Message*, Answer*);
  Status get_protocol_features(Message*, Answer*);
  Status set_protocol_features(Message*, Answer*);
  Status get_queue_num(Message*, Answer*);
  Status set_vring_enable(Message*, Answer*);
  Status send_rarp(Message*, Answer*);
  Status net_set_mtu(Message*, Answer*);
  Status reset_device(Message*, Answer*);
  Status get_max_mem_slots(Message*, Answer*);
  Status add_mem_reg(Message*, Answer*);
  Status rem_mem_reg(Message*, Answer*);
  Status set_status(Message*, Answer*);
  Status get_status(Message*, Answer*);

  Fd socket_;
  NetDevice& device_;
  Say say_;
  MessageReader reader_;
  uint64_t protocol_features_ = 0;
  uint8_t status_ = 0;  // virtio's device status, which the front-end keeps here (virtio 1.2, 2.1)
  unsigned refusals_ = 0;
};

}  // namespace tapferry
