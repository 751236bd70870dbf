// SPDX-License-Identifier: MIT
#include "helper/acquire.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/fsuid.h>

#include "base/syscall.h"
#include "helper/request.h"

namespace tapferry {
namespace {

constexpr const char* kTunNode = "/dev/net/tun";

// The tap's socket belongs to the fsuid that opens the node, so the caller opens it where its mode lets him.
Result<Fd> open_as_caller(const char* node, uid_t caller) {
  const auto own = static_cast<uid_t>(setfsuid(caller));
  Result<Fd> opened = open_file(node, O_RDWR);
  setfsuid(own);
  if (static_cast<uid_t>(setfsuid(static_cast<uid_t>(-1))) != own)
    return Error::from_errno("return to", "uid 0", EPERM);
  if (opened.is_ok() || opened.error().code() != EACCES) return opened;
  return open_file(node, O_RDWR);
}

Result<std::vector<Fd>> open_tun_queues(uid_t caller, unsigned count) {
  std::vector<Fd> queues;
  for (unsigned i = 0; i < count; ++i) {
    Result<Fd> tun = open_as_caller(kTunNode, caller);
    if (!tun.is_ok()) return Error("failed to open", kTunNode, tun.error().reason());
    queues.push_back(std::move(tun).value());
  }
  return queues;
}

}  // namespace

Result<Acquired> acquire(int argc, char* argv[]) {
  Identity caller = TRY(identify_caller());
  const bool can_act = has_net_admin();
  if (!can_act) {
    const Error error("get", "CAP_NET_ADMIN", why_without_net_admin());
    return Acquired{caller, false, error.reason(), error, error, error, error};
  }
  Result<Auditor> auditor = Auditor::start(caller);
  Result<std::vector<Fd>> tun = open_tun_queues(caller.uid, most_queues_asked(argc, argv));
  return Acquired{caller,        true, "", std::move(auditor), Rtnl::open(), Rtnl::open(Rtnl::kSmallestReceive),
                  std::move(tun)};
}

}  // namespace tapferry
