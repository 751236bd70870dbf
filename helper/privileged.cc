// SPDX-License-Identifier: MIT
#include "helper/privileged.h"

#include <cerrno>
#include <fcntl.h>

#include "base/syscall.h"
#include "helper/privilege.h"
#include "helper/sweep.h"
#include "net/tag.h"

namespace tapferry {
namespace {

Error refuse(std::string_view action, const Link& link) { return Error::from_errno(action, link.name, EPERM); }

// That the interface is a tap which this program made: its tag is out of reach for whoever holds its descriptor.
bool is_our_tap(const Link& link) { return link.kind == "tun" && parse_tag(link.alias).has_value(); }

// Safe: IFF_TUN_EXCL makes the kernel refuse a name that exists, so nobody else's interface can be taken over; the name
// can't be one that IPv6's sysctls use for all interfaces.
Result<std::string> act(Rtnl&, const CreateTap& op) {
  if (!is_new_interface_name(op.name)) return Error::from_errno("create tap", op.name, EINVAL);
  return create_tap(op.fd, op.name, op.flags);
}

// Safe: on a tap, never on hardware. It isn't tagged yet; the tag is part of this.
Result<std::string> act(Rtnl& rtnl, const SetIdentity& op) {
  if (op.tap.kind != "tun" || !parse_tag(op.identity.alias)) return refuse("tag", op.tap);
  TRY(set_identity(rtnl, op.tap, op.identity));
  return std::string();
}

// Safe: one fixed value into one file below this interface's own directory; the name has no slash, and is neither "all" nor
// "default". Without it a port that leaves its bridge would take routes from the guest. Where IPv6 is off there is no such
// file; where /proc/sys can't be written (some containers) a bridge port still never hears an advertisement, since
// the bridge takes every frame before the port's own stack would.
Result<std::string> act(Rtnl&, const RefuseRouterAdvertisements& op) {
  if (!is_our_tap(op.tap) || !is_new_interface_name(op.tap.name)) return refuse("set accept_ra of", op.tap);
  const std::string path = "/proc/sys/net/ipv6/conf/" + op.tap.name + "/accept_ra";
  const Result<Fd> file = open_file(path, O_WRONLY);
  if (!file.is_ok()) {
    const int code = file.error().code();
    if (code == ENOENT || code == EROFS) return std::string();
    return file.error();
  }
  TRY(write_all(file.value().get(), "0", path));
  return std::string();
}

// Safe: on our own tap, a name that begins with "tapferry.".
Result<std::string> act(Rtnl& rtnl, const ClaimAltname& op) {
  if (!is_our_tap(op.tap) || !op.altname.starts_with("tapferry.")) return refuse("name", op.tap);
  TRY(add_altname(rtnl, op.tap, op.altname));
  return std::string();
}

// Safe: our own tap, and a master that is a bridge: IFLA_MASTER would take a bond or a VRF too, and the caller's frames
// would then be where no rule let them.
Result<std::string> act(Rtnl& rtnl, const JoinBridge& op) {
  if (!is_our_tap(op.tap) || op.bridge.kind != "bridge") return refuse("add " + op.tap.name + " to bridge", op.bridge);
  TRY(set_master(rtnl, op.tap, op.bridge));
  return std::string();
}

// Safe: takes away, gives nothing.
Result<std::string> act(Rtnl& rtnl, const IsolatePort& op) {
  if (!is_our_tap(op.tap)) return refuse("isolate bridge port", op.tap);
  TRY(set_port_isolated(rtnl, op.tap));
  return std::string();
}

// Safe: a tap; one that wasn't made here is the caller's own by the kernel's word, since he could attach to it.
Result<std::string> act(Rtnl& rtnl, const BringUp& op) {
  if (op.tap.kind != "tun") return refuse("bring up", op.tap);
  TRY(set_up(rtnl, op.tap, true));
  return std::string();
}

// Safe: takes back what BringUp did, on the same interface.
Result<std::string> act(Rtnl& rtnl, const BringDown& op) {
  if (op.tap.kind != "tun") return refuse("bring down", op.tap);
  TRY(set_up(rtnl, op.tap, false));
  return std::string();
}

// Safe: the interface is looked at again by its index, which isn't used twice: ours, made persistent by its holder although
// that was not granted, and held by nobody (a tap without a queue has no carrier).
Result<std::string> act(Rtnl& rtnl, const DeleteAbandonedTap& op) {
  const Link now = TRY(get_link(rtnl, op.tap.index));
  if (!is_abandoned(now)) return refuse("delete", now);
  TRY(delete_link(rtnl, now));
  return std::string();
}

}  // namespace

Result<std::string> perform(Rtnl& rtnl, const Operation& operation) {
  TRY(raise_net_admin());
  Result<std::string> result = std::visit([&](const auto& op) { return act(rtnl, op); }, operation);
  TRY(lower_net_admin());
  return result;
}

}  // namespace tapferry
