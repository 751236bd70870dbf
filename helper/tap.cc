// SPDX-License-Identifier: MIT
#include "helper/tap.h"

#include <cerrno>
#include <ctime>

#include "helper/port_security.h"
#include "helper/privileged.h"
#include "helper/quota.h"
#include "net/ovs.h"
#include "net/tag.h"
#include "net/tun.h"

namespace tapferry {
namespace {

// Fresh names that are taken one after the other: somebody names taps as we do, by hand.
constexpr unsigned kNameAttempts = 100;

TapFlags flags_of(const Spec& spec) { return {.multi_queue = spec.queues > 1, .vnet_hdr = spec.vnet_hdr}; }

Error create_error(const Error& error) {
  if (error.code() == EBUSY) {
    return Error("failed to create tun device", error.object(), "an interface of that name exists");
  }
  return Error("failed to create tun device", error.object(), error.reason());
}

Result<std::string> create_named(Rtnl& rtnl, int fd, const std::string& name, TapFlags flags) {
  Result<std::string> created = perform(rtnl, CreateTap{fd, name, flags});
  if (!created.is_ok()) return create_error(created.error());
  return created;
}

Result<std::string> create_unnamed(Rtnl& rtnl, int fd, TapFlags flags) {
  for (unsigned attempt = 0;; ++attempt) {
    Result<std::string> created = perform(rtnl, CreateTap{fd, fresh_interface_name("tap", attempt), flags});
    if (created.is_ok()) return created;
    if (created.error().code() != EBUSY || attempt == kNameAttempts) return create_error(created.error());
  }
}

// The first queue makes the interface; the others join it as its owner, without privilege.
Result<Link> create(Rtnl& rtnl, const std::vector<Fd>& queues, const Identity& caller, const Spec& spec) {
  const int first = queues[0].get();
  const std::string wanted = spec.name.value_or(spec.object);
  const bool is_named = spec.name || (spec.kind == Kind::kTap && !spec.object.empty());
  Result<std::string> created =
      is_named ? create_named(rtnl, first, wanted, flags_of(spec)) : create_unnamed(rtnl, first, flags_of(spec));
  const std::string name = TRY(std::move(created));
  TRY(set_tap_owner(first, caller.uid));
  for (size_t i = 1; i < queues.size(); ++i) TRY(attach_tap(queues[i].get(), name, flags_of(spec)));
  Link tap = TRY(get_link(rtnl, name));
  if (tap.kind != "tun") return Error::from_errno("find", "the new tap " + name, ENODEV);
  return tap;
}

// The kernel decides whether the tap is the caller's: CAP_NET_ADMIN isn't effective here.
Status attach(const std::vector<Fd>& queues, const std::string& name, const Spec& spec) {
  for (const Fd& queue : queues) {
    Status attached = attach_tap(queue.get(), name, flags_of(spec));
    if (attached.is_ok()) continue;
    const Error& error = attached.error();
    if (error.code() == EPERM) return Error("attach to tap", name, "it belongs to somebody else, or is no tap");
    if (error.code() == EBUSY) return Error("attach to tap", name, "its queues are all in use");
    if (error.code() == EINVAL) {
      return Error("attach to tap", name,
                   "it is no tap, or has one queue where several are asked for, or the other way round")
          .with_hint("compare `ip -details link show dev " + name + "'");
    }
    return error;
  }
  return {};
}

Tag tag_of(const Identity& caller, const Verdict& verdict, Mac mac) {
  const Spec& spec = verdict.effective;
  Tag tag;
  tag.uid = caller.uid;
  tag.kind = spec.kind;
  if (spec.kind == Kind::kBridge) tag.upper = spec.object;
  tag.since = time(nullptr);
  tag.persist = spec.persist;
  tag.rule = verdict.rule_label;
  tag.stays_down = verdict.stays_down;
  if (spec.lock.value_or(false)) tag.locked_mac = mac;
  tag.follows_addresses = spec.filter && spec.filter->is_auto;
  return tag;
}

// A bridge takes the lowest address of its ports for its own, unless it was given one: 0xFE keeps it from ever being a VM's.
Mac port_mac(Mac mac) {
  mac.bytes[0] = 0xfe;
  return mac;
}

Status identify(Rtnl& rtnl, Link* tap, const Identity& caller, const Verdict& verdict, const Link* bridge) {
  const Spec& spec = verdict.effective;
  LinkIdentity identity;
  identity.mac = spec.mac;
  identity.mtu = spec.mtu;
  if (bridge != nullptr) {
    if (!identity.mac) identity.mac = port_mac(tap->mac);
    if (!identity.mtu) identity.mtu = bridge->mtu;
    identity.without_ipv6_address = true;
  }
  identity.alias = to_string(tag_of(caller, verdict, identity.mac.value_or(tap->mac)));
  TRY(perform(rtnl, SetIdentity{*tap, identity}));
  tap->alias = identity.alias;
  tap->mac = identity.mac.value_or(tap->mac);
  tap->mtu = identity.mtu.value_or(tap->mtu);
  return {};
}

Status join(Rtnl& rtnl, const Link& tap, const Link& bridge, const Spec& spec) {
  TRY(perform(rtnl, RefuseRouterAdvertisements{tap}));
  if (ovs_bridge(spec.object)) return {};
  const Result<std::string> joined = perform(rtnl, JoinBridge{tap, bridge});
  if (!joined.is_ok()) {
    return Error("failed to add interface `" + tap.name + "' to bridge", "`" + bridge.name + "'",
                 joined.error().reason());
  }
  return secure_port(rtnl, tap, bridge, spec);
}

// Of an Open vSwitch its own interface, which has the bridge's name and the MTU to take on. Whether there is such a bridge Open
// vSwitch itself says later.
Result<Link> find_ovs_bridge(Rtnl& rtnl, std::string_view name, const Verdict& verdict, const Identity& caller) {
  Result<Link> local = get_link(rtnl, std::string(name));
  if (!local.is_ok() && local.error().code() == ENODEV) return access_denied(verdict.asked, caller);
  return local;
}

// The bridge by its own name and of that kind; anything else is refused as if a rule had forbidden it.
Result<Link> find_bridge(Rtnl& rtnl, const Verdict& verdict, const Identity& caller) {
  const Spec& spec = verdict.effective;
  if (const auto name = ovs_bridge(spec.object)) return find_ovs_bridge(rtnl, *name, verdict, caller);
  Result<Link> bridge = get_link(rtnl, spec.object);
  if (!bridge.is_ok() && bridge.error().code() != ENODEV) return bridge;
  if (!bridge.is_ok() || bridge.value().kind != "bridge") return access_denied(verdict.asked, caller);
  return bridge;
}

Result<Link> make_new(Rtnl& rtnl, const std::vector<Fd>& queues, const Identity& caller, const Verdict& verdict) {
  const Spec& spec = verdict.effective;
  std::optional<Link> bridge;
  if (spec.kind == Kind::kBridge) bridge = TRY(find_bridge(rtnl, verdict, caller));
  Link tap = TRY(create(rtnl, queues, caller, spec));
  TRY(identify(rtnl, &tap, caller, verdict, bridge ? &*bridge : nullptr));
  if (verdict.quota_max) TRY(claim_slot(rtnl, tap, {caller.uid, verdict.rule_hash, *verdict.quota_max}));
  if (bridge) TRY(join(rtnl, tap, *bridge, spec));
  return tap;
}

// The interface was there before, so its tag, MAC and MTU are as its owner or the administrator left them.
Result<Link> take_existing(const std::vector<Fd>& queues, const Link& tap, const Spec& spec) {
  if (spec.mac || spec.mtu) {
    return Error("attach to tap", tap.name, "it exists, and mac= and mtu= are for new ones")
        .with_hint("leave them out");
  }
  if (spec.persist) {
    return Error("attach to tap", tap.name, "it exists, and persist= is for new ones").with_hint("leave it out");
  }
  // The rule of this request may have less to force than the one that put it on the bridge.
  if (const auto tag = parse_tag(tap.alias); tag && tag->kind != Kind::kTap) {
    return Error("attach to tap", tap.name, "it was made for " + std::string(kind_name(tag->kind)) + "=" + tag->upper)
        .with_hint("its owner opens it without the helper");
  }
  if (needs_warden(spec)) {
    return Error("attach to tap", tap.name, "it exists, and filter=auto is for new ones")
        .with_hint("list the protocols");
  }
  TRY(attach(queues, tap.name, spec));
  return tap;
}

// lock= and filter=auto need somebody who stays.
Status watch_over(Result<Maker>& maker, const Link& tap, const Spec& spec) {
  if (!maker.is_ok()) return maker.error();
  return maker.value().watch_tap(spec, tap.index);
}

// What Open vSwitch is asked for last, when the tap is complete: from then on frames can cross.
Status add_to_ovs(Result<Maker>& maker, const Link& tap, const Verdict& verdict, const Identity& caller) {
  const Spec& spec = verdict.effective;
  if (!maker.is_ok()) return maker.error();
  const Status added = maker.value().add_ovs_port(spec, tap.index);
  if (added.is_ok()) return {};
  const Error& error = added.error();
  if (error.code() == ENODEV) return access_denied(verdict.asked, caller);
  return Error("failed to add interface `" + tap.name + "' to bridge", "`" + spec.object + "'", error.reason())
      .with_hint(error.hint());
}

// The tap that tap=NAME names, if there is one.
Result<std::optional<Link>> find_existing(Rtnl& rtnl, const Spec& spec) {
  if (spec.kind != Kind::kTap || spec.object.empty()) return std::optional<Link>();
  Result<Link> found = get_link(rtnl, spec.object);
  if (found.is_ok()) return std::optional<Link>(std::move(found).value());
  if (found.error().code() == ENODEV) return std::optional<Link>();
  return std::move(found).error();
}

}  // namespace

Result<HandOver> make_tap(Rtnl& rtnl, std::vector<Fd> tun, Result<Maker>& maker, const Identity& caller,
                          const Verdict& verdict) {
  const Spec& spec = verdict.effective;
  const std::optional<Link> existing = TRY(find_existing(rtnl, spec));
  Result<Link> found = existing ? take_existing(tun, *existing, spec) : make_new(rtnl, tun, caller, verdict);
  const Link tap = TRY(std::move(found));
  HandOver made;
  made.queues = std::move(tun);
  made.grant = grant_of(tap, verdict);
  Status finished = finish(rtnl, tap, existing.has_value(), spec, &made);
  // The descriptors are still here, so nobody could have changed anything yet.
  if (finished.is_ok() && needs_warden(spec)) finished = watch_over(maker, tap, spec);
  if (finished.is_ok() && ovs_bridge(spec.object)) {
    finished = add_to_ovs(maker, tap, verdict, caller);
    if (finished.is_ok()) made.undo.made_by_maker = caller.uid;
  }
  if (finished.is_ok()) return made;
  TRY(take_back(rtnl, maker, std::move(made)));
  return std::move(finished).error();
}

}  // namespace tapferry
