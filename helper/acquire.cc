// SPDX-License-Identifier: MIT
#include "helper/acquire.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/syscall.h"
#include "helper/request.h"

namespace tapferry {
namespace {

constexpr const char* kTunNode = "/dev/net/tun";
constexpr const char* kVhostNode = "/dev/vhost-net";
// MISC_MAJOR of <linux/major.h>, VHOST_NET_MINOR of include/linux/miscdevice.h.
constexpr unsigned kVhostMajor = 10;
constexpr unsigned kVhostMinor = 238;

// The tap's socket belongs to the fsuid that opens the node, so the caller opens it where its mode lets him.
Result<Fd> open_as_caller(const char* node, int flags, uid_t caller) {
  const auto own = static_cast<uid_t>(setfsuid(caller));
  Result<Fd> opened = open_file(node, flags);
  setfsuid(own);
  if (static_cast<uid_t>(setfsuid(static_cast<uid_t>(-1))) != own)
    return Error("return to", "uid 0", "the kernel refused");
  if (opened.is_ok() || opened.error().code() != EACCES) return opened;
  return open_file(node, flags);
}

Result<Maker> start_maker(const Identity& caller, int argc, char* argv[]) {
  const auto refuse = [](std::string_view reason) {
    return Error("start", "the process that makes macvtaps and watches over interfaces", reason);
  };
  if (!may_need_maker(argc, argv)) return refuse("it is for --net and --release only");
  if (geteuid() != 0) return refuse("the helper isn't setuid root").with_hint("file capabilities don't suffice for it");
  return Maker::start(caller, may_ask_for_ovs(argc, argv));
}

Result<std::vector<Fd>> open_tun_queues(uid_t caller, unsigned count) {
  std::vector<Fd> queues;
  for (unsigned i = 0; i < count; ++i) {
    Result<Fd> tun = open_as_caller(kTunNode, O_RDWR, caller);
    if (!tun.is_ok()) return Error("failed to open", kTunNode, tun.error().reason());
    queues.push_back(std::move(tun).value());
  }
  return queues;
}

// The kernel loads the module by itself where there is a node but no driver yet, and else says ENODEV.
bool is_absent(int code) { return code == ENOENT || code == ENODEV || code == ENXIO; }

// A container's device list, a nodev mount, a mode that keeps out both the caller and this process.
bool is_forbidden(int code) { return code == EPERM || code == EACCES; }

bool is_vhost_net(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(kVhostMajor, kVhostMinor);
}

// What is handed over as vhost-net is vhost-net, whatever lies at its path: told by the device's number, and not through a
// link, since this may be opened with root's rights.
Result<Fd> open_vhost_net(uid_t caller) {
  Result<Fd> opened = open_as_caller(kVhostNode, O_RDWR | O_NOFOLLOW | O_NONBLOCK, caller);
  if (opened.is_ok()) {
    if (is_vhost_net(opened.value().get())) return opened;
  } else {
    const int code = opened.error().code();
    if (is_absent(code)) {
      return Error::from_errno("failed to open", kVhostNode, code).with_hint("load it with: modprobe vhost_net");
    }
    if (code != ELOOP) return opened;
  }
  return Error("failed to open", kVhostNode, "it is not the vhost-net device (a character device, 10:238)")
      .with_hint("remove it and load the module again: modprobe -r vhost_net && modprobe vhost_net");
}

Result<std::vector<Fd>> open_vhost(uid_t caller, unsigned count) {
  std::vector<Fd> opened;
  for (unsigned i = 0; i < count; ++i) opened.push_back(TRY(open_vhost_net(caller)));
  return opened;
}

}  // namespace

Result<Acquired> acquire(int argc, char* argv[]) {
  Identity caller = TRY(identify_caller());
  const bool can_act = has_net_admin();
  if (!can_act) {
    const Error error("get", "CAP_NET_ADMIN", why_without_net_admin());
    return Acquired{caller, false, error.reason(), error, error, Rtnl::open(), error, error, error};
  }
  Result<Auditor> auditor = Auditor::start(caller);
  Result<Maker> maker = start_maker(caller, argc, argv);
  const unsigned queues = most_queues_asked(argc, argv);
  Result<std::vector<Fd>> tun = open_tun_queues(caller.uid, queues);
  Result<std::vector<Fd>> vhost = open_vhost(caller.uid, is_vhost_asked(argc, argv) ? queues : 0);
  Result<Rtnl> rtnl = Rtnl::open();
  Result<Rtnl> scan = Rtnl::open(Rtnl::kSmallestReceive);
  return Acquired{
      caller,          true, "", std::move(auditor), std::move(maker), std::move(rtnl), std::move(scan), std::move(tun),
      std::move(vhost)};
}

Result<std::vector<Fd>> vhost_for(Acquired* acquired, const Spec& spec) {
  Result<std::vector<Fd>> opened = std::exchange(acquired->vhost, std::vector<Fd>());
  if (spec.vhost == VhostNet::kOff) return std::vector<Fd>();
  if (!opened.is_ok()) {
    const int code = opened.error().code();
    if (spec.vhost == VhostNet::kAuto && (is_absent(code) || is_forbidden(code))) return std::vector<Fd>();
    return opened;
  }
  if (opened.value().size() < spec.queues) {
    return Error::from_errno("failed to open /dev/vhost-net", "for each queue", EMFILE);
  }
  opened.value().resize(spec.queues);
  return opened;
}

}  // namespace tapferry
