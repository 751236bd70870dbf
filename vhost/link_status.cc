// SPDX-License-Identifier: MIT
#include "vhost/link_status.h"

#include <cerrno>

namespace tapferry {

Result<LinkStatus> LinkStatus::open(const std::string& ifname) {
  LinkMonitorOptions options;
  // Speed and duplex don't matter here.
  options.wants_media = [](const Link&) { return false; };
  LinkStatus status(TRY(LinkMonitor::open(std::move(options))), ifname);
  TRY(status.monitor_.start([&](const LinkChange& change) { status.see(change); }));
  // Interfaces that change faster than they can be listed come later.
  if (status.ifindex_ == 0 && status.timeout_ms() < 0) return Error::from_errno("watch", ifname, ENODEV);
  return status;
}

Status LinkStatus::read() {
  return monitor_.read([this](const LinkChange& change) { see(change); });
}

void LinkStatus::see(const LinkChange& change) {
  if (change.kind == LinkChange::Kind::kResynchronised) return;
  const Link& link = change.state.link;
  if (ifindex_ == 0 && link.name == name_) ifindex_ = link.index;
  if (link.index != ifindex_) return;
  is_gone_ = change.kind == LinkChange::Kind::kRemoved;
  has_link_ = !is_gone_ && change.state.has_link();
  mtu_ = link.mtu;
  name_ = link.name;
}

}  // namespace tapferry
