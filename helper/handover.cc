// SPDX-License-Identifier: MIT
#include "helper/handover.h"

#include <cerrno>

#include "helper/granted.h"
#include "helper/macvtap.h"
#include "helper/privileged.h"
#include "helper/tap.h"
#include "net/tun.h"

namespace tapferry {
namespace {

// An interface that isn't ours stays as it is, but for what the hand-over itself is about.
Status check_device_keys(const Spec& spec) {
  const auto refuse = [&](std::string_view keys) {
    return Error("open device", spec.object, "it exists, and " + std::string(keys) + " for new ones")
        .with_hint("leave it out, or ask for macvtap=");
  };
  if (spec.mac || spec.mtu) return refuse("mac= and mtu= are");
  if (spec.lock.value_or(false)) return refuse("lock=on is");
  if (spec.filter && spec.filter->is_auto) return refuse("filter=auto is");
  return {};
}

}  // namespace

Status check_supported(const Spec& spec) {
  if (spec.persist && spec.kind == Kind::kDevice) {
    return Error("ask for", to_string(spec), "persist= is for new interfaces, and device= is there already")
        .with_hint("leave it out");
  }
  if (spec.kind == Kind::kDevice) TRY(check_device_keys(spec));
  return check_port_security(spec);
}

Result<HandOver> make_interface(Rtnl& rtnl, std::vector<Fd> tun, Result<Maker>& maker, const Identity& caller,
                                const Verdict& verdict, const Result<Device>& device) {
  const Spec& spec = verdict.effective;
  const size_t needed = spec.kind == Kind::kMacvtap ? 0 : spec.kind == Kind::kDevice ? 1 : spec.queues;
  if (tun.size() < needed) return Error::from_errno("failed to open /dev/net/tun", "for each queue", EMFILE);
  tun.resize(needed);
  if (spec.kind == Kind::kBridge || spec.kind == Kind::kTap) {
    return make_tap(rtnl, std::move(tun), maker, caller, verdict);
  }
  if (!maker.is_ok()) return maker.error();
  if (spec.kind == Kind::kMacvtap) return make_macvtap(rtnl, maker, caller, verdict);
  return open_device(rtnl, maker, std::move(tun[0]), caller, verdict, device);
}

Grant grant_of(const Link& tap, const Verdict& verdict) {
  const Spec& spec = verdict.effective;
  Grant grant;
  grant.kind = spec.kind;
  grant.ifname = tap.name;
  grant.ifindex = tap.index;
  if (spec.kind == Kind::kBridge || spec.kind == Kind::kMacvtap) grant.upper = spec.object;
  grant.queues = spec.queues;
  grant.vnet_hdr = spec.vnet_hdr;
  grant.vnet_hdr_sz = spec.vnet_hdr ? spec.vnet_hdr_sz : 0;
  grant.mac = tap.mac;
  grant.mtu = tap.mtu;
  grant.up = spec.up.value_or(true);
  grant.rule = verdict.rule_label;
  return grant;
}

Status finish(Rtnl& rtnl, const Link& tap, bool is_existing, const Spec& spec, HandOver* made) {
  const int queue = made->queues[0].get();
  // The maker has done that for a device, of which each queue has a size of its own.
  if (spec.vnet_hdr && spec.kind != Kind::kDevice) {
    if (is_existing) {
      const TapQueue before = TRY(describe_tap_queue(queue));
      made->undo.vnet_hdr_sz = before.vnet_hdr_sz;
    }
    TRY(set_vnet_hdr_sz(queue, spec.vnet_hdr_sz));
  }
  TRY(limit_traffic(rtnl, tap, is_existing, spec, &made->undo.traffic));
  if (spec.up.value_or(true) && !tap.is_up()) {
    if (is_existing) made->undo.bring_down = tap;
    TRY(perform(rtnl, BringUp{tap}));
  }
  made->grant.up = tap.is_up() || spec.up.value_or(true);
  return {};
}

namespace {

Status undo_by_maker(Rtnl& rtnl, Maker& maker, int index, uid_t caller) {
  Status undone = maker.undo();
  if (undone.is_ok()) return {};
  // The maker was killed. The warden lets the macvtap go with its queues, unless it was to stay by then: it is the caller's.
  const Result<Link> link = get_link(rtnl, index);
  if (!link.is_ok() && link.error().code() == ENODEV) return {};
  if (!link.is_ok() || !may_release(link.value(), caller)) return undone;
  TRY(perform(rtnl, DeleteReleased{link.value(), caller}));
  return {};
}

}  // namespace

Status take_back(Rtnl& rtnl, Result<Maker>& maker, HandOver hand_over) {
  const Undo& undo = hand_over.undo;
  if (undo.vnet_hdr_sz) TRY(set_vnet_hdr_sz(hand_over.queues[0].get(), *undo.vnet_hdr_sz));
  if (undo.bring_down) TRY(perform(rtnl, BringDown{*undo.bring_down}));
  if (const auto& before = undo.traffic) {
    TRY(perform(rtnl, SetTrafficRules{before->link, guest_side_of(hand_over.grant.kind), before->rules}));
  }
  hand_over.queues.clear();
  if (undo.made_by_maker) return undo_by_maker(rtnl, maker.value(), hand_over.grant.ifindex, *undo.made_by_maker);
  return {};
}

Error access_denied(const Spec& spec, const Identity& caller) {
  const std::string asked = to_string(spec);
  return Error("access denied by acl file", "",
               asked + " is not allowed to uid " + std::to_string(caller.uid) + ", or there is no such interface")
      .with_hint("`tapferry explain --net=" + asked + "' says which rule decides");
}

}  // namespace tapferry
