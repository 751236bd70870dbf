// SPDX-License-Identifier: MIT
#include "helper/macvtap_maker.h"

#include <cerrno>
#include <ctime>
#include <sys/random.h>

#include "base/syscall.h"
#include "helper/granted.h"
#include "helper/port_security.h"
#include "helper/privileged.h"
#include "helper/privileged_macvtap.h"
#include "helper/queue_node.h"
#include "helper/quota.h"
#include "helper/user_node.h"
#include "net/tag.h"
#include "net/wire.h"

namespace tapferry {
namespace {

// Names that are taken one after the other: of our own kind somebody has some by hand, a %d may have had many before.
constexpr unsigned kNameAttempts = 4096;
constexpr int kWardenTimeoutMs = 5000;

// Locally administered and unicast (IEEE 802, 8.2); 46 bits are random.
Result<Mac> random_mac() {
  Mac mac;
  if (getrandom(mac.bytes.data(), mac.bytes.size(), 0) != static_cast<ssize_t>(mac.bytes.size())) {
    return Error::from_errno("get", "random bytes", errno);
  }
  mac.bytes[0] = static_cast<uint8_t>((mac.bytes[0] & 0xfc) | 0x02);
  return mac;
}

// A guest uses its macvtap's own address, so what it is locked to and what the interface has are one.
Result<Mac> mac_of(const Spec& spec, const Link& parent) {
  if (spec.mac && spec.guest_mac && *spec.mac != *spec.guest_mac) {
    return Error("create macvtap", "on " + parent.name, "mac= and guest_mac= differ, and a macvtap's guest has its MAC")
        .with_hint("leave out one of them");
  }
  if (spec.mac) return *spec.mac;
  if (spec.guest_mac) return *spec.guest_mac;
  if (spec.mode == MacvtapMode::kPassthru) return parent.mac;
  return random_mac();
}

// The attempt's name: the one asked for, the next number in place of its %d, or a fresh one.
std::string candidate_name(const Spec& spec, unsigned attempt) {
  if (!spec.name) return fresh_interface_name("mvtap", attempt);
  std::string name = *spec.name;
  const size_t percent = name.find("%d");
  return percent == std::string::npos ? name : name.replace(percent, 2, std::to_string(attempt));
}

Error create_error(const Error& error, const Spec& spec, const std::string& parent) {
  const std::string object = error.object() + " on " + parent;
  switch (error.code()) {
    case EEXIST: return Error("create macvtap", object, "an interface of that name exists");
    case EBUSY:
    case EINVAL:
      return Error("create macvtap", object, error.reason())
          .with_hint(spec.mode == MacvtapMode::kPassthru
                         ? "passthru wants the parent for itself: does another macvlan or macvtap use it?"
                         : "is the parent in use by a passthru macvtap, a port of a bridge, or smaller than mtu=?");
    case EOPNOTSUPP: return Error("create macvtap", object, error.reason()).with_hint("load it with: modprobe macvtap");
    default: return Error("create macvtap", object, error.reason());
  }
}

Error up_error(const Error& error, const std::string& parent) {
  if (error.code() != EADDRINUSE) return error;
  return Error("bring up", error.object(), "its MAC address is in use on " + parent).with_hint("ask for another mac=");
}

}  // namespace

Result<MadeDevice> MacvtapMaker::make(const MacvtapOrder& order, uid_t uid) {
  const Spec& spec = order.spec;
  if (spec.kind != Kind::kMacvtap) return Error::from_errno("create macvtap", to_string(spec), EINVAL);
  const Link parent = TRY(get_link(rtnl_, spec.object));
  NewMacvtap wanted;
  wanted.lower = parent.index;
  wanted.mode = spec.mode;
  wanted.mtu = spec.mtu;
  const Mac mac = TRY(mac_of(spec, parent));
  // In passthru mode an address that a macvtap is born with stays its own: only a change is made to the parent as well.
  wanted.mac = spec.mode == MacvtapMode::kPassthru ? parent.mac : mac;
  const bool is_chosen = spec.name.has_value() && spec.name->find('%') == std::string::npos;
  for (unsigned attempt = 0;; ++attempt) {
    wanted.name = candidate_name(spec, attempt);
    const Status created = create(wanted, mac);
    if (created.is_ok()) break;
    if (created.error().code() != EEXIST || is_chosen || attempt == kNameAttempts) {
      return create_error(created.error(), spec, parent.name);
    }
  }
  const Intent intent = {wanted.name, *wanted.mac, mac};
  Result<MadeDevice> made = make_intended(order, uid, intent, parent);
  if (!made.is_ok()) take_back(intent);
  return made;
}

// The warden knows before the kernel does.
Status MacvtapMaker::create(const NewMacvtap& wanted, Mac mac) {
  TRY(ask(warden(), {"intend", wanted.name, to_string(*wanted.mac), to_string(mac)}, kWardenTimeoutMs));
  return perform(rtnl_, CreateMacvtap{wanted});
}

Result<MadeDevice> MacvtapMaker::make_intended(const MacvtapOrder& order, uid_t uid, const Intent& intent,
                                               const Link& parent) {
  const Spec& spec = order.spec;
  const Link fresh = TRY(get_link(rtnl_, intent.name));
  if (fresh.kind != "macvtap") return Error::from_errno("find", "the new macvtap " + intent.name, ENODEV);
  const dev_t device = TRY(uevents_.device_of(fresh.index));
  // As long as nobody was told of it.
  if (spec.persist) (void)TRY(look_at_user_node(fresh.index, device));
  const Link macvtap = TRY(identify(order, uid, fresh, intent.mac));
  MadeDevice made;
  made.index = macvtap.index;
  made.queues = TRY(open_queues(spec, macvtap, device, true));
  TRY(limit_traffic(rtnl_, macvtap, false, spec, nullptr));
  TRY(bring_up(spec, macvtap, parent));
  TRY(ask(warden(), {"keep", std::to_string(macvtap.index), to_string(spec)}, kWardenTimeoutMs));
  made_ = Made{macvtap.index, device, macvtap.alias};
  return made;
}

Result<Link> MacvtapMaker::identify(const MacvtapOrder& order, uid_t uid, const Link& fresh, Mac mac) {
  Tag tag;
  tag.uid = uid;
  tag.kind = order.spec.kind;
  tag.upper = order.spec.object;
  tag.since = time(nullptr);
  tag.persist = order.spec.persist;
  tag.rule = order.rule_label;
  tag.stays_down = order.stays_down;
  tag.queues = order.spec.queues;
  if (order.spec.lock.value_or(false)) tag.locked_mac = mac;
  tag.follows_addresses = order.spec.filter && order.spec.filter->is_auto;
  LinkIdentity identity;
  if (mac != fresh.mac) identity.mac = mac;
  identity.alias = to_string(tag);
  // The host's own stack would speak with the guest's MAC address.
  identity.without_ipv6_address = true;
  TRY(perform(rtnl_, SetIdentity{fresh, identity}));
  Link macvtap = TRY(get_link(rtnl_, fresh.index));
  if (order.quota_max) TRY(claim_slot(rtnl_, macvtap, {uid, order.rule_hash, *order.quota_max}));
  return macvtap;
}

Status MacvtapMaker::bring_up(const Spec& spec, const Link& macvtap, const Link& parent) {
  // In passthru mode the guest has the parent to itself, and nobody else would bring it up.
  if (spec.mode == MacvtapMode::kPassthru && !parent.is_up()) TRY(perform(rtnl_, BringParentUp{macvtap, parent}));
  if (!spec.up.value_or(true)) return {};
  const Result<std::string> up = perform(rtnl_, BringUp{macvtap});
  if (!up.is_ok()) return up_error(up.error(), parent.name);
  return {};
}

Result<Fd> MacvtapMaker::open_one(const Spec& spec, const Link& link, dev_t device, bool is_watched) {
  Fd queue = TRY(open_queue(rtnl_, node_, device, [&]() -> Status {
    if (is_watched) TRY(ask(warden(), {"queue"}, kWardenTimeoutMs));
    return {};
  }));
  // Whose queue it is, by the queue itself: a number could be another namespace's interface.
  const TapQueue description = TRY(describe_tap_queue(queue.get()));
  const Mac mac = TRY(queue_mac(queue.get()));
  if (description.ifname != link.name || mac != link.mac) {
    return Error("open a queue of", link.name, "the device is of another interface, " + description.ifname);
  }
  TRY(set_macvtap_flags(queue.get(), link.name, {.multi_queue = spec.queues > 1, .vnet_hdr = spec.vnet_hdr}));
  if (spec.vnet_hdr) TRY(set_vnet_hdr_sz(queue.get(), spec.vnet_hdr_sz));
  return queue;
}

Result<std::vector<Fd>> MacvtapMaker::open_queues(const Spec& spec, const Link& link, dev_t device, bool is_watched) {
  std::vector<Fd> queues;
  for (unsigned i = 0; i < spec.queues; ++i) {
    Result<Fd> queue = open_one(spec, link, device, is_watched);
    if (!queue.is_ok() && queue.error().code() == EBUSY) {
      return Error("open a queue of", link.name, "it has as many queues as it can have");
    }
    queues.push_back(TRY(std::move(queue)));
  }
  return queues;
}

Result<MadeDevice> MacvtapMaker::open(const Spec& spec, int ifindex, dev_t device) {
  const Link link = TRY(get_link(rtnl_, ifindex));
  if (spec.kind != Kind::kDevice || !has_tap_device(link.kind)) {
    return Error("open", link.name, "it is no macvtap");
  }
  MadeDevice made;
  made.index = link.index;
  made.queues = TRY(open_queues(spec, link, device, false));
  return made;
}

Status MacvtapMaker::persist(uid_t uid) {
  if (!made_) return Error::from_errno("keep", "a macvtap that was not made", EBADMSG);
  TRY(make_user_node(rtnl_, node_, made_->index, made_->device, uid, [&]() -> Status {
    TRY(ask(warden(), {"node"}, kWardenTimeoutMs));
    return {};
  }));
  TRY(ask(warden(), {"stay"}, kWardenTimeoutMs));
  return {};
}

Status MacvtapMaker::undo() {
  // It closes the node, too.
  const Result<WireMessage> undone = ask(warden(), {"undo"}, kWardenTimeoutMs);
  if (!made_) return undone.is_ok() ? Status() : Status(undone.error());
  // One that is to persist wouldn't be found by its tag when nobody has deleted it.
  if (!undone.is_ok()) {
    const Result<UserNode> node = look_at_user_node(made_->index, made_->device);
    if (node.is_ok() && node.value() == UserNode::kStale) TRY(close_user_node(made_->index));
    TRY(perform(rtnl_, DeleteTagged{made_->index, made_->alias}));
  }
  return remove_closed_user_node(rtnl_, made_->index);
}

Status MacvtapMaker::release(int ifindex, uid_t uid) {
  const Link link = TRY(get_link(rtnl_, ifindex));
  if (!may_release(link, uid)) return Error::from_errno("delete", link.name, EPERM);
  const bool has_node = has_own_user_node(link);
  // First: its number may be another interface's as soon as this one is gone.
  if (has_node) TRY(close_user_node(ifindex));
  const Result<std::string> deleted = perform(rtnl_, DeleteReleased{link, uid});
  // It may have worked, and only its answer be lost.
  if (!deleted.is_ok() && get_link(rtnl_, ifindex).is_ok()) {
    if (has_node) reopen_user_node(ifindex);
    return deleted.error();
  }
  TRY(remove_closed_user_node(rtnl_, ifindex));
  if (!deleted.is_ok()) return deleted.error();
  return {};
}

// The queues are closed by now, since they were on the stack of what failed.
void MacvtapMaker::take_back(const Intent& intent) {
  if (ask(warden(), {"undo"}, kWardenTimeoutMs).is_ok()) return;
  (void)perform(rtnl_, DeleteIntended{intent}).is_ok();
}

}  // namespace tapferry
