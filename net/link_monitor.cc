// SPDX-License-Identifier: MIT
#include "net/link_monitor.h"

#include <cerrno>
#include <linux/rtnetlink.h>

namespace tapferry {

Result<LinkMonitor> LinkMonitor::open(LinkMonitorOptions options) {
  RtnlEvents events =
      TRY(RtnlEvents::open({RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR}, options.receive_buffer_bytes));
  Rtnl rtnl = TRY(Rtnl::open());
  LinkMonitor monitor(std::move(options), std::move(rtnl), std::move(events));
  monitor.open_media();
  return monitor;
}

// Without media everything else is still worth watching.
void LinkMonitor::open_media() {
  auto ethtool = Ethtool::open();
  if (!ethtool.is_ok()) {
    media_error_ = std::move(ethtool).error();
    return;
  }
  auto events = RtnlEvents::open_generic(ethtool.value().monitor_group());
  if (!events.is_ok()) {
    media_error_ = std::move(events).error();
    return;
  }
  ethtool_ = std::move(ethtool).value();
  media_events_ = std::move(events).value();
}

std::vector<int> LinkMonitor::fds() const {
  std::vector<int> fds = {events_.fd()};
  if (media_events_) fds.push_back(media_events_->fd());
  return fds;
}

Result<LinkTable::Interfaces> LinkMonitor::read_everything() {
  LinkTable::Interfaces interfaces;
  TRY(for_each_link(rtnl_, "", [&](const Link& link) { interfaces[link.index].link = link; }));
  TRY(for_each_address(rtnl_, 0, [&](const InterfaceAddress& address) {
    // One that came after the links were listed is heard of.
    const auto at = interfaces.find(address.ifindex);
    if (at != interfaces.end()) put_address(&at->second.addresses, address);
  }));
  return interfaces;
}

Status LinkMonitor::start(const Visit& visit) {
  auto interfaces = read_everything();
  // They keep changing faster than they can be listed: begin with none, and have them come in read().
  needs_resync_ = !interfaces.is_ok() && interfaces.error().code() == EINTR;
  if (needs_resync_) return {};
  if (!interfaces.is_ok()) return std::move(interfaces).error();
  for (auto& [ifindex, state] : interfaces.value()) state.media = media_of(state.link).value_or(Media{});
  std::ignore = table_.replace(std::move(interfaces).value());
  for (const auto& [ifindex, state] : table_.all()) {
    LinkChange change;
    change.state = state;
    visit(change);
  }
  return {};
}

Status LinkMonitor::read(const Visit& visit) {
  const RtnlEvents::Seen seen = TRY(events_.read([&](const nlmsghdr* header) {
    const auto change = table_.apply(header);
    if (change) tell(*change, visit);
  }));
  if (seen == RtnlEvents::Seen::kLost) needs_resync_ = true;
  if (needs_resync_) TRY(resynchronise(visit));
  TRY(read_media_events());
  refresh_media(visit);
  return {};
}

Status LinkMonitor::resynchronise(const Visit& visit) {
  auto interfaces = read_everything();
  needs_resync_ = !interfaces.is_ok() && interfaces.error().code() == EINTR;
  if (needs_resync_) return {};
  if (!interfaces.is_ok()) return std::move(interfaces).error();
  LinkChange notice;
  notice.kind = LinkChange::Kind::kResynchronised;
  visit(notice);
  for (const LinkChange& change : table_.replace(std::move(interfaces).value())) tell(change, visit);
  return {};
}

void LinkMonitor::tell(const LinkChange& change, const Visit& visit) {
  visit(change);
  // What ethtool's notifications leave out: the speed comes with the carrier, and goes with it.
  const bool is_new = change.kind == LinkChange::Kind::kAdded;
  if (is_new || change.aspects.has(Aspect::kCarrier) || change.aspects.has(Aspect::kUp)) {
    stale_media_.insert(change.state.link.index);
  }
}

Status LinkMonitor::read_media_events() {
  if (!media_events_) return {};
  // What the notification says may be old by the time that it is read; so it only tells whom to ask.
  const RtnlEvents::Seen seen = TRY(media_events_->read([&](const nlmsghdr* header) {
    const auto message = parse_media(header);
    if (message) stale_media_.insert(message->ifindex);
  }));
  if (seen != RtnlEvents::Seen::kLost) return {};
  for (const auto& [ifindex, state] : table_.all()) stale_media_.insert(ifindex);
  return {};
}

// Nothing where it isn't worth a change: of an interface that is gone its removal is heard of. A driver may refuse for any
// reason of its own; then nothing is known.
std::optional<Media> LinkMonitor::media_of(const Link& link) {
  if (!ethtool_ || (options_.wants_media && !options_.wants_media(link))) return std::nullopt;
  const auto media = ethtool_->media(link.index);
  if (media.is_ok()) return media.value();
  if (media.error().code() == ENODEV) return std::nullopt;
  return Media{};
}

void LinkMonitor::refresh_media(const Visit& visit) {
  for (const int ifindex : std::exchange(stale_media_, {})) {
    const InterfaceState* state = table_.find(ifindex);
    if (state == nullptr) continue;
    const auto media = media_of(state->link);
    const auto change = media ? table_.set_media(ifindex, *media) : std::nullopt;
    if (change) visit(*change);
  }
}

}  // namespace tapferry
