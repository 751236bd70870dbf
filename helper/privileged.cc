// SPDX-License-Identifier: MIT
#include "helper/privileged.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/capability.h>

#include "base/syscall.h"
#include "helper/granted.h"
#include "helper/privilege.h"
#include "net/abandoned.h"
#include "net/bridge_port.h"
#include "net/macvtap.h"
#include "net/tag.h"

namespace tapferry {
namespace {

Error refuse(std::string_view action, const Link& link) { return Error::from_errno(action, link.name, EPERM); }

bool is_tap_or_macvtap(const Link& link) { return link.kind == "tun" || link.kind == "macvtap"; }

// That the interface is one which this program made: its tag is out of reach for whoever holds its descriptor.
bool is_ours(const Link& link) { return is_tap_or_macvtap(link) && parse_tag(link.alias).has_value(); }

// Safe: IFF_TUN_EXCL makes the kernel refuse a name that exists, so nobody else's interface can be taken over; the name
// can't be one that IPv6's sysctls use for all interfaces.
Result<std::string> act(Rtnl&, const CreateTap& op) {
  if (!is_new_interface_name(op.name)) return Error::from_errno("create tap", op.name, EINVAL);
  return create_tap(op.fd, op.name, op.flags);
}

// Safe: on a tap or macvtap, never on hardware. It isn't tagged yet; the tag is part of this.
Result<std::string> act(Rtnl& rtnl, const SetIdentity& op) {
  if (!is_tap_or_macvtap(op.tap) || !parse_tag(op.identity.alias)) return refuse("tag", op.tap);
  TRY(set_identity(rtnl, op.tap, op.identity));
  return std::string();
}

// Safe: one fixed value into one file below this interface's own directory; the name has no slash, and is neither "all" nor
// "default". Without it a port that leaves its bridge would take routes from the guest. Where IPv6 is off there is no such
// file; where /proc/sys can't be written (some containers) a bridge port still never hears an advertisement, since
// the bridge takes every frame before the port's own stack would.
Result<std::string> act(Rtnl&, const RefuseRouterAdvertisements& op) {
  if (!is_ours(op.tap) || !is_new_interface_name(op.tap.name)) return refuse("set accept_ra of", op.tap);
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

// Safe: on an interface of ours, a name that begins with "tapferry.".
Result<std::string> act(Rtnl& rtnl, const ClaimAltname& op) {
  if (!is_ours(op.tap) || !op.altname.starts_with("tapferry.")) return refuse("name", op.tap);
  TRY(add_altname(rtnl, op.tap, op.altname));
  return std::string();
}

// Safe: our own tap, and a master that is a bridge: IFLA_MASTER would take a bond or a VRF too, and the caller's frames
// would then be where no rule let them.
Result<std::string> act(Rtnl& rtnl, const JoinBridge& op) {
  if (!is_ours(op.tap) || op.bridge.kind != "bridge") return refuse("add " + op.tap.name + " to bridge", op.bridge);
  TRY(set_master(rtnl, op.tap, op.bridge));
  return std::string();
}

// Safe: takes away, gives nothing.
Result<std::string> act(Rtnl& rtnl, const IsolatePort& op) {
  if (!is_ours(op.tap)) return refuse("isolate bridge port", op.tap);
  TRY(set_port_flags(rtnl, op.tap, {.learning = {}, .locked = {}, .bpdu_guard = {}, .isolated = true}));
  return std::string();
}

// Safe: our own tap, and the address is neither the bridge's nor behind another port, which the kernel decides as it adds the
// entry: so nobody's frames are drawn here that weren't the caller's to get.
Result<std::string> act(Rtnl& rtnl, const LockPort& op) {
  if (!is_ours(op.tap) || op.bridge.kind != "bridge") return refuse("lock bridge port", op.tap);
  TRY(lock_port(rtnl, op.tap, op.bridge, op.guest_mac));
  return std::string();
}

// Safe: of a tap or macvtap that the caller gets the queues of; the programs are made here, from addresses and EtherTypes, and
// queueing or filters that the administrator put there stay. It only takes off what this program put on.
Result<std::string> act(Rtnl& rtnl, const SetTrafficRules& op) {
  if (op.link.kind != "tun" && !has_tap_device(op.link.kind)) return refuse("limit the rate of", op.link);
  TRY(apply_traffic_rules(rtnl, op.link, op.side, op.rules));
  return std::string();
}

// Safe: a tap or macvtap. A tap that wasn't made here is the caller's own by the kernel's word, since he could attach to it; of a
// macvtap the policy says so, since the caller gets its queues.
Result<std::string> act(Rtnl& rtnl, const BringUp& op) {
  if (op.tap.kind != "tun" && !has_tap_device(op.tap.kind)) return refuse("bring up", op.tap);
  TRY(set_up(rtnl, op.tap, true));
  return std::string();
}

// Safe: takes back what BringUp did, on the same interface.
Result<std::string> act(Rtnl& rtnl, const BringDown& op) {
  if (op.tap.kind != "tun" && !has_tap_device(op.tap.kind)) return refuse("bring down", op.tap);
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

// Safe: looked at again by its index; by its tag it was granted to this very caller, for as long as he likes.
Result<std::string> act(Rtnl& rtnl, const DeleteReleased& op) {
  const Link now = TRY(get_link(rtnl, op.tap.index));
  if (!may_release(now, op.uid)) return refuse("delete", now);
  TRY(delete_link(rtnl, now));
  return std::string();
}

// Safe: looked at again by its index; by its tag it was made for this very caller, and its rule has nothing against it.
Result<std::string> act(Rtnl& rtnl, const BringUpGranted& op) {
  const Link now = TRY(get_link(rtnl, op.tap.index));
  if (!may_bring_up(now, op.uid)) return refuse("bring up", now);
  TRY(set_up(rtnl, now, true));
  return std::string();
}

}  // namespace

Result<std::string> perform(Rtnl& rtnl, const Operation& operation) {
  TRY(raise_capability(CAP_NET_ADMIN));
  Result<std::string> result = std::visit([&](const auto& op) { return act(rtnl, op); }, operation);
  TRY(lower_capability(CAP_NET_ADMIN));
  return result;
}

}  // namespace tapferry
