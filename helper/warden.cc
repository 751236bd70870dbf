// SPDX-License-Identifier: MIT
#include "helper/warden.h"

#include <algorithm>
#include <cerrno>
#include <linux/capability.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/syscall.h"
#include "helper/confine.h"
#include "helper/detach.h"
#include "helper/kept.h"
#include "helper/privilege.h"
#include "helper/privileged_macvtap.h"
#include "helper/queue_node.h"
#include "helper/queue_watches.h"
#include "helper/syslog.h"
#include "helper/user_node.h"
#include "helper/warden_service.h"
#include "net/address.h"
#include "net/rtnl_events.h"
#include "net/tag.h"
#include "net/wire.h"

namespace tapferry {
namespace {

// Until an interface that couldn't be removed is tried again.
constexpr int kRetryMs = 500;
// Of poll(2) in a row, which can fail for want of memory.
constexpr int kMostFailures = 1000;
// Programs of root's that watch it; there is one tapferryd.
constexpr auto kMostObservers = 4;

}  // namespace

Result<Warden> Warden::begin(Fd listener) {
  QueueWatches watches = TRY(QueueWatches::open());
  TRY(raise_capability(CAP_NET_ADMIN));
  Result<Rtnl> rtnl = Rtnl::open();
  TRY(lower_capability(CAP_NET_ADMIN));
  Rtnl changes = TRY(std::move(rtnl));
  RtnlEvents events = TRY(RtnlEvents::open({RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR}));
  Result<Fd> syslog = connect_to_syslog();
  return Warden(std::move(listener), std::move(watches), std::move(events), std::move(changes),
                syslog.is_ok() ? std::move(syslog).value() : Fd());
}

// ---- Makers -----------------------------------------------------------------------------------------

void Warden::accept_one() {
  Fd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket.is_open()) return;
  ucred peer = {};
  socklen_t length = sizeof peer;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return;
  const bool is_observer = peer.uid == 0 && getuid() != 0;
  if (is_observer ? std::count_if(connections_.begin(), connections_.end(),
                                  [](const Connection& other) { return other.is_observer; }) >= kMostObservers
                  : peer.uid != getuid()) {
    return;
  }
  add_connection(std::move(socket));
  connections_.back().is_observer = is_observer;
}

bool Warden::serve_connection(Connection& connection) {
  const Result<WireMessage> message = receive_fields(connection.socket.get(), 0);
  if (!message.is_ok() || message.value().fields.empty() || connection.is_observer) return false;
  const Status status = answer(connection, message.value());
  const Fields reply = status.is_ok() ? Fields{"ok"} : error_fields(status.error());
  return send_fields(connection.socket.get(), reply).is_ok();
}

// What it began without completing it goes.
void Warden::end_connection(Connection& connection) {
  if (connection.intent) (void)undo(connection).is_ok();
  kept_.settle(connection.kept_index);
  if (!connection.node.empty()) unlink(connection.node.c_str());
}

Status Warden::answer(Connection& connection, const WireMessage& message) {
  const Fields& request = message.fields;
  const std::string& verb = request[0];
  if (verb == "hello" && request.size() == 2) return greet(connection, request);
  if (verb == "intend" && request.size() == 4) return intend(connection, request);
  if (verb == "queue" && request.size() == 1) return watch_queue(connection);
  if (verb == "keep" && request.size() == 3) return keep(connection, request);
  if (verb == "node" && request.size() == 1) return note_node(connection);
  if (verb == "stay" && request.size() == 1) return let_stay(connection);
  if (verb == "undo") return undo(connection);
  if (verb == "adopt" && request.size() == 2) return adopt(message);
  return Error::from_errno("understand", verb, EBADMSG);
}

Status Warden::greet(Connection& connection, const Fields& request) {
  if (!is_node_path(request[1])) return Error::from_errno("understand", "hello", EBADMSG);
  connection.node = request[1];
  return {};
}

Status Warden::intend(Connection& connection, const Fields& request) {
  const auto first_mac = parse_mac(request[2]);
  const auto mac = parse_mac(request[3]);
  if (!first_mac || !mac || !is_new_interface_name(request[1]))
    return Error::from_errno("understand", "intend", EBADMSG);
  const Result<Link> existing = get_link(rtnl_, request[1]);
  if (existing.is_ok()) return Error::from_errno("create macvtap", request[1], EEXIST);
  if (existing.error().code() != ENODEV) return existing.error();
  connection.intent = Intent{request[1], *first_mac, *mac};
  return {};
}

Status Warden::watch_queue(Connection& connection) {
  connection.queues.insert(TRY(watches_.add(connection.node)));
  return {};
}

Status Warden::keep(Connection& connection, const Fields& request) {
  const auto index = parse_uint(request[1], 1, INT32_MAX);
  if (!index) return Error::from_errno("understand", "keep", EBADMSG);
  const Spec spec = TRY(parse_spec(request[2]));
  const Link link = TRY(get_link(rtnl_, static_cast<int>(*index)));
  if (!parse_tag(link.alias)) return Error::from_errno("watch over", link.name, EPERM);
  kept_.add(link.index, keep_of(link, spec, std::move(connection.queues)));
  connection.kept_index = link.index;
  connection.intent.reset();
  connection.queues.clear();
  if (kept_.find(link.index)->follows_addresses) TRY(follow_addresses(link.index));
  return {};
}

Status Warden::note_node(Connection& connection) {
  if (kept_.find(connection.kept_index) == nullptr) return Error::from_errno("watch", connection.node, EBADMSG);
  kept_.note_node(connection.kept_index, TRY(inode_of(connection.node)));
  return {};
}

Status Warden::let_stay(Connection& connection) {
  if (kept_.find(connection.kept_index) == nullptr) return Error::from_errno("keep", connection.node, EBADMSG);
  kept_.let_stay(connection.kept_index);
  return {};
}

Status Warden::undo(Connection& connection) {
  if (const Kept* kept = kept_.find(connection.kept_index)) {
    close_user_node(connection.kept_index, kept->node);
    // If that fails it goes with its queues.
    TRY(perform(rtnl_, DeleteTagged{connection.kept_index, kept->alias}));
    kept_.forget(connection.kept_index);
    return {};
  }
  if (!connection.intent) return {};
  const DeleteIntended operation = {*connection.intent};
  connection.intent.reset();
  return perform(rtnl_, operation);
}

// ---- Interfaces -------------------------------------------------------------------------------------

void Warden::remove(int index, const std::string& why) {
  const Kept* kept = kept_.find(index);
  if (kept == nullptr) {
    overdue_.erase(index);
    return;
  }
  close_user_node(index, kept->node);
  const Status removed = perform(rtnl_, DeleteTagged{index, kept->alias});
  const bool is_first_attempt = !overdue_.contains(index);
  if (is_first_attempt && (!why.empty() || !removed.is_ok())) {
    const std::string reason = why.empty() ? "its last descriptor was closed" : why;
    log_removal(syslog_, {kept->uid, kept->name, index, reason, removed.is_ok() ? "" : removed.error().line()});
  }
  if (!removed.is_ok()) {
    overdue_[index] = why;
    return;
  }
  kept_.forget(index);
  overdue_.erase(index);
}

void Warden::remove_overdue() {
  const std::map<int, std::string> attempts = overdue_;
  for (const auto& [index, why] : attempts) remove(index, why);
}

void Warden::end_queue(int watch) {
  for (Connection& connection : connections_) connection.queues.erase(watch);
  if (const auto index = kept_.queue_closed(watch)) remove(*index, "");
}

void Warden::forget(int index) {
  if (const Kept* kept = kept_.find(index)) close_user_node(index, kept->node);
  kept_.forget(index);
}

void Warden::look_at(const Link& link) {
  if (const auto why = kept_.why_remove(link)) remove(link.index, *why);
}

void Warden::look_at_all() {
  for (const int index : kept_.indexes()) {
    const Result<Link> link = get_link(rtnl_, index);
    if (link.is_ok()) look_at(link.value());
    if (!link.is_ok() && link.error().code() == ENODEV) forget(index);
    const Kept* kept = kept_.find(index);
    if (kept != nullptr && kept->follows_addresses) follow_addresses_of(kept->upper);
  }
}

void Warden::read_events() {
  const Result<RtnlEvents::Seen> seen = events_.read([&](const nlmsghdr* header) {
    if (const auto link = parse_link(header)) {
      if (header->nlmsg_type == RTM_DELLINK) forget(link->index);
      if (header->nlmsg_type == RTM_NEWLINK) look_at(*link);
    }
    if (const auto address = parse_address(header)) follow_addresses_of(address->ifindex);
  });
  if (seen.is_ok() && seen.value() == RtnlEvents::Seen::kLost) look_at_all();
}

Status Warden::follow_addresses(int index) {
  const Kept& kept = *kept_.find(index);
  bool has_ipv4 = false;
  bool has_ipv6 = false;
  TRY(for_each_address(rtnl_, kept.upper, [&](const InterfaceAddress& address) {
    if (!address.local.is_v6) has_ipv4 = true;
    if (address.local.is_v6) has_ipv6 = true;
  }));
  const Link link = TRY(get_link(rtnl_, index));
  TrafficRules rules = kept.traffic;
  rules.ethertypes = ethertypes_for(has_ipv4, has_ipv6);
  TRY(perform(rtnl_, FollowAddresses{link, rules}));
  return {};
}

void Warden::follow_addresses_of(int upper) {
  for (const int index : kept_.followers_of(upper)) {
    const Status followed = follow_addresses(index);
    if (followed.is_ok() || followed.error().code() == ENODEV) continue;
    // Better no interface than one that lets pass what it must not.
    remove(index, "its filter can't follow the host's addresses: " + followed.error().line());
  }
}

bool Warden::has_makers() const {
  return std::any_of(connections_.begin(), connections_.end(),
                     [](const Connection& connection) { return !connection.is_observer; });
}

void Warden::serve() {
  // Only the one that all find: what another has that was started beside it is known to that one.
  if (listener_.is_open()) adopt_watchable();
  int failures = 0;
  while (has_makers() || !kept_.is_empty()) {
    std::vector<pollfd> polled = {
        {watches_.fd(), POLLIN, 0}, {events_.fd(), POLLIN, 0}, {listener_.is_open() ? listener_.get() : -1, POLLIN, 0}};
    const size_t first = polled.size();
    for (const Connection& connection : connections_) polled.push_back({connection.socket.get(), POLLIN, 0});
    const int ready = poll(polled.data(), polled.size(), overdue_.empty() ? -1 : kRetryMs);
    failures = ready < 0 && errno != EINTR ? failures + 1 : 0;
    if (failures == kMostFailures) return;
    if (ready < 0) continue;
    remove_overdue();
    if (polled[0].revents) watches_.read([&](int watch) { end_queue(watch); });
    if (polled[1].revents) read_events();
    for (size_t i = polled.size(); i-- > first;) {
      if (polled[i].revents == 0 || serve_connection(connections_[i - first])) continue;
      end_connection(connections_[i - first]);
      connections_.erase(connections_.begin() + static_cast<ssize_t>(i - first));
    }
    if (polled[2].revents) accept_one();
  }
  // Killed, it couldn't say so.
  for (const Connection& observer : connections_) (void)send_fields(observer.socket.get(), {"done"}).is_ok();
}

namespace {

// Should: let go of everything but its connection and listener, leave the caller's cgroup, keep CAP_NET_ADMIN only. Must
// not: be within reach of any caller.
Result<Warden> become_warden(Fd connection, Fd listener) {
  std::vector<Fd> kept;
  const bool has_listener = listener.is_open();
  kept.push_back(std::move(connection));
  if (has_listener) kept.push_back(std::move(listener));
  TRY(detach_from_caller(std::move(kept)));
  prctl(PR_SET_NAME, "tapferry-warden", 0, 0, 0);
  TRY(keep_capabilities({CAP_NET_ADMIN, CAP_DAC_OVERRIDE}));
  leave_callers_reach();
  Warden warden = TRY(Warden::begin(has_listener ? Fd(kFirstKept + 1) : Fd()));
  TRY(keep_capabilities({CAP_NET_ADMIN}));
  TRY(confine_warden());
  return warden;
}

}  // namespace

void run_warden(Fd connection, Fd listener) {
  Result<Warden> warden = become_warden(std::move(connection), std::move(listener));
  if (!warden.is_ok()) {
    (void)send_fields(kFirstKept, error_fields(warden.error())).is_ok();
    _exit(1);
  }
  warden.value().add_connection(Fd(kFirstKept));
  warden.value().serve();
  _exit(0);
}

}  // namespace tapferry
