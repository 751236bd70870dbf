// SPDX-License-Identifier: MIT
//
// What a service manager gives tapferryd, and is told (sd_listen_fds(3), sd_notify(3)). Both are a few lines without libsystemd,
// which would bring more into this process than all of the rest of it.
#pragma once

#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

// Of the environment, which is emptied next.
struct ServiceManager {
  std::string notify_socket;  // NOTIFY_SOCKET; empty: nobody wants to know
  bool has_socket = false;    // LISTEN_FDS=1 for this process: descriptor 3 is the listening socket
};
Result<ServiceManager> read_service_manager();

// "READY=1", "STOPPING=1". Failing is nobody's trouble but the manager's.
void notify(const ServiceManager& manager, std::string_view state);

// The manager's socket, once it is known to be a listening AF_UNIX stream socket.
Result<Fd> inherited_listener();

// A socket of our own at `path`, which everybody may connect to. One that nobody listens at any more is replaced; the folder is
// made if it is missing (not its parents).
Result<Fd> make_listener(const std::string& path);

}  // namespace tapferry
