// SPDX-License-Identifier: MIT
#include "helper/ovs_keeper.h"

#include <arpa/inet.h>
#include <cerrno>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/syscall.h"
#include "helper/confine.h"
#include "helper/detach.h"
#include "helper/ovs_port.h"
#include "helper/service_account.h"
#include "helper/syslog.h"
#include "net/rtnl_events.h"
#include "net/wire.h"

namespace tapferry {
namespace {

using Fields = std::vector<std::string>;

constexpr const char* kAccount = "tapferry";
// Open vSwitch may be started anew just when a VM ends: ten minutes of attempts, the first of them at once.
constexpr int kRetryMs = 1000;
constexpr int kMostAttempts = 600;

// Should: be out of the caller's reach, with nothing but what connecting to the database takes. Must not: parse.
Status become_keeper() {
  prctl(PR_SET_NAME, "tapferry-ovs", 0, 0, 0);
  const Result<ServiceAccount> account = service_account(kAccount);
  if (account.is_ok()) return drop_to_service(account.value(), {CAP_DAC_OVERRIDE}, {CAP_DAC_OVERRIDE});
  TRY(drop_to_bare_root());
  return account.error();
}

// Only RTM_DELLINK of this interface: struct nlmsghdr, then struct ifinfomsg (rtnetlink(7)), in the host's byte order, which
// BPF's loads turn around. The kernel sends one message in each packet (rtmsg_ifinfo_send() in net/core/rtnetlink.c).
Status hear_of_end_only(const RtnlEvents& events, int ifindex) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(nlmsghdr, nlmsg_type)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELLINK), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NLMSG_HDRLEN + offsetof(ifinfomsg, ifi_index)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(static_cast<uint32_t>(ifindex)), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  const sock_fprog program = {std::size(code), code};
  if (setsockopt(events.fd(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0) return {};
  return Error::from_errno("watch", "the interface", errno);
}

class Keeper {
 public:
  static Result<Keeper> begin();

  // Answers the front until it is gone or has taken the port back.
  void serve(const Identity& who, Fd channel);
  // Until the interface is gone; then removes the port.
  void keep();

 private:
  Keeper(Rtnl rtnl, RtnlEvents events, Fd syslog)
      : rtnl_(std::move(rtnl)), events_(std::move(events)), syslog_(std::move(syslog)) {}
  Status answer(const Identity& who, const Fields& request);
  Status add(const Identity& who, const Fields& request);
  bool is_interface_gone();
  void remove_in_time();

  Rtnl rtnl_;
  RtnlEvents events_;
  Fd syslog_;
  std::optional<NewOvsPort> port_;  // that is there, or may be
};

// Should: leave the caller's cgroup, let ovs-vsctl inherit the one capability, and have its sockets. Must not: parse yet.
Result<Keeper> Keeper::begin() {
  TRY(keep_capabilities({CAP_DAC_OVERRIDE}, {CAP_DAC_OVERRIDE}));
  leave_callers_reach();
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0) != 0) {
    return Error::from_errno("pass on", "a capability", errno);
  }
  Rtnl rtnl = TRY(Rtnl::open());
  RtnlEvents events = TRY(RtnlEvents::open({RTNLGRP_LINK}));
  Result<Fd> syslog = connect_to_syslog();
  TRY(confine_ovs_keeper());
  return Keeper(std::move(rtnl), std::move(events), syslog.is_ok() ? std::move(syslog).value() : Fd());
}

Status Keeper::add(const Identity& who, const Fields& request) {
  const Spec spec = TRY(parse_spec(request[1]));
  const auto index = parse_uint(request[2], 1, INT32_MAX);
  if (!index || port_) return Error::from_errno("understand", "port", EBADMSG);
  TRY(hear_of_end_only(events_, static_cast<int>(*index)));
  port_ = TRY(plan_ovs_port(rtnl_, spec, static_cast<int>(*index), who.uid));
  return add_ovs_port(rtnl_, *port_);
}

Status Keeper::answer(const Identity& who, const Fields& request) {
  if (request[0] == "port" && request.size() == 3) {
    const Status added = add(who, request);
    // Gone before the front says that it failed; what can't be removed yet is when the tap is gone.
    if (!added.is_ok() && port_ && remove_ovs_port(*port_).is_ok()) port_.reset();
    return added;
  }
  if (request[0] == "undo" && request.size() == 1) {
    if (port_) TRY(remove_ovs_port(*port_));
    port_.reset();
    return {};
  }
  return Error::from_errno("understand", request[0], EBADMSG);
}

void Keeper::serve(const Identity& who, Fd channel) {
  for (;;) {
    const Result<WireMessage> request = receive_fields(channel.get(), -1);
    if (!request.is_ok() || request.value().fields.empty()) return;
    const Status status = answer(who, request.value().fields);
    const Fields reply = status.is_ok() ? Fields{"ok"} : error_fields(status.error());
    if (!send_fields(channel.get(), reply).is_ok()) return;
  }
}

bool Keeper::is_interface_gone() {
  bool is_gone = false;
  const Result<RtnlEvents::Seen> seen = events_.read([&](const nlmsghdr* header) {
    const auto link = parse_link(header);
    if (header->nlmsg_type == RTM_DELLINK && link && link->index == port_->tag.ifindex) is_gone = true;
  });
  if (is_gone || (seen.is_ok() && seen.value() != RtnlEvents::Seen::kLost)) return is_gone;
  const Result<Link> link = get_link(rtnl_, port_->tag.ifindex);
  return !link.is_ok() && link.error().code() == ENODEV;
}

void Keeper::remove_in_time() {
  std::string failure;
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    const Status removed = remove_ovs_port(*port_);
    if (removed.is_ok()) return;
    failure = removed.error().line();
    poll(nullptr, 0, kRetryMs);
  }
  log_removal(syslog_,
              {port_->tag.uid, port_->name, port_->tag.ifindex,
               "it is gone, and its port of Open vSwitch's bridge " + port_->tag.bridge + " is left", failure});
}

void Keeper::keep() {
  if (!port_) return;
  while (!is_interface_gone()) {
    pollfd event = {events_.fd(), POLLIN, 0};
    if (poll(&event, 1, -1) < 0 && errno != EINTR) poll(nullptr, 0, kRetryMs);
  }
  remove_in_time();
}

void go_on(const Identity& who, const Status& begun) {
  Result<Keeper> keeper = begun.is_ok() ? Keeper::begin() : Result<Keeper>(begun.error());
  if (!keeper.is_ok()) {
    (void)receive_fields(kFirstKept, 0).is_ok();
    (void)send_fields(kFirstKept, error_fields(keeper.error())).is_ok();
    return;
  }
  keeper.value().serve(who, Fd(kFirstKept));
  keeper.value().keep();
}

}  // namespace

void run_ovs_keeper(const Identity& who, Fd channel) {
  std::vector<Fd> kept;
  kept.push_back(std::move(channel));
  if (!detach_from_caller(std::move(kept)).is_ok() || !send_fields(kFirstKept, {"ready"}).is_ok()) _exit(1);
  const Status begun = become_keeper();
  char first;
  if (retry_on_eintr([&] { return recv(kFirstKept, &first, sizeof first, MSG_PEEK); }) <= 0) _exit(0);
  // A request is there, and not looked at yet. Without a process of its own it is lost, and the front hears of that end.
  if (fork() == 0) go_on(who, begun);
  _exit(0);
}

}  // namespace tapferry
