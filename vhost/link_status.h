// SPDX-License-Identifier: MIT
//
// What becomes of the tap's interface on the host: its link, its MTU, its end.
//
// A vhost-user back-end has no word for a guest's link that QEMU hears: its network devices neither take CONFIG_CHANGE from a
// back-end nor ask it for the configuration, so VIRTIO_NET_S_LINK_UP is theirs (net/vhost-user.c), and follows the connection
// alone. So a link that goes down is told to people here, and to the guest either by `tapferry monitor --qmp`, or
// by ending the connection for as long as it is down (--follow-link).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/link_monitor.h"

namespace tapferry {

class LinkStatus {
 public:
  // Of an interface in this network namespace.
  static Result<LinkStatus> open(const std::string& ifname);

  // To poll for reading, for timeout_ms() at most; then read().
  std::vector<int> fds() const { return monitor_.fds(); }
  int timeout_ms() const { return monitor_.timeout_ms(); }
  Status read();

  // Up, and with a carrier.
  bool has_link() const { return has_link_; }
  unsigned mtu() const { return mtu_; }
  bool is_gone() const { return is_gone_; }
  const std::string& name() const { return name_; }

 private:
  LinkStatus(LinkMonitor monitor, std::string name) : monitor_(std::move(monitor)), name_(std::move(name)) {}
  void see(const LinkChange& change);

  LinkMonitor monitor_;
  std::string name_;
  int ifindex_ = 0;
  bool has_link_ = false;
  unsigned mtu_ = 0;
  bool is_gone_ = false;
};

}  // namespace tapferry
