// SPDX-License-Identifier: MIT
//
// QMP on a socket, spoken to the QEMU of a libvirt domain.
//
// Who is at the other end of the socket sees a QMP server: it greets, takes commands with at most one descriptor each, and sends
// answers and events. What is behind it isn't QEMU's own socket, which is libvirt's, but libvirt's way of passing commands
// through (virDomainQemuMonitorCommandWithFiles in libvirt-qemu.h) and events back. One command at a time: the next is read
// when the answer was sent.
#pragma once

#include <libvirt/libvirt.h>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

struct ConnectionClose {
  void operator()(virConnect* connection) const { virConnectClose(connection); }
};
struct DomainFree {
  void operator()(virDomain* domain) const { virDomainFree(domain); }
};

// A running domain, and the connection that it was found by.
struct ConnectedDomain {
  std::unique_ptr<virConnect, ConnectionClose> connection;
  std::unique_ptr<virDomain, DomainFree> domain;
};

// `uri` may be empty: libvirt's own default, as for virsh. libvirt's words are the reason.
Result<ConnectedDomain> connect_domain(const std::string& uri, const std::string& name);

class MonitorProxy {
 public:
  MonitorProxy(ConnectedDomain connected, Fd socket) : connected_(std::move(connected)), socket_(std::move(socket)) {}

  // Until the client has gone, or the domain, or libvirt.
  Status run();

 private:
  Status listen();
  void see_socket();
  void execute(const std::string& line);
  void send(const std::string& line);
  std::string ask_qemu(const std::string& command, const std::string& id);

  static void on_qemu_event(virConnectPtr, virDomainPtr, const char* event, long long, unsigned, const char* details,
                            void* self);
  static void on_lifecycle(virConnectPtr, virDomainPtr, int event, int, void* self);
  static void on_close(virConnectPtr, int, void* self);

  ConnectedDomain connected_;
  Fd socket_;
  std::string unread_;
  std::vector<Fd> fds_;  // that came and belong to the next command
  bool is_over_ = false;
};

}  // namespace tapferry
