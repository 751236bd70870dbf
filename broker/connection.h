// SPDX-License-Identifier: MIT
//
// One client: reads a call, has it answered, writes the reply with its descriptors, and so on.
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

#include "base/fd.h"
#include "broker/glib_source.h"
#include "broker/methods.h"
#include "broker/varlink.h"

namespace tapferry {

class Server;

class Connection {
 public:
  Connection(Server* server, Fd socket, uid_t uid);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  uid_t uid() const { return uid_; }

 private:
  // All of these may destroy this object, and then return false; nothing of it may be touched after.
  bool read_some();
  bool serve_next();
  bool answer(const std::string& message);
  bool reply(Reply reply);
  bool write_some();
  bool end();

  void wait_for_input();
  void wait_for_helper();
  bool wait_for_room();

  Server* server_;
  Fd socket_;
  uid_t uid_;
  MessageReader input_;
  Reply output_;  // what is left of it
  bool is_last_reply_ = false;
  uint64_t launch_ = 0;  // 0: none
  GlibSource ready_;
  GlibSource deadline_;
};

}  // namespace tapferry
