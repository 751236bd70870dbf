// SPDX-License-Identifier: MIT
#include "helper/port_security.h"

#include "helper/privileged.h"

namespace tapferry {

Status check_port_security(const Spec& spec) {
  const auto refuse = [&](std::string_view reason) { return Error("ask for", to_string(spec), reason); };
  const bool is_locked = spec.lock.value_or(false);
  if (is_locked && !spec.guest_mac) return refuse("lock=on needs guest_mac=");
  if (spec.guest_mac && !is_locked) {
    return refuse("guest_mac= binds the guest to nothing without lock=on").with_hint("add lock=on, or leave it out");
  }
  return {};
}

GuestSide guest_side_of(Kind kind) {
  return kind == Kind::kBridge || kind == Kind::kTap ? GuestSide::kTap : GuestSide::kMacvtap;
}

TrafficRules traffic_rules_of(const Spec& spec) {
  TrafficRules rules;
  rules.rate_to = spec.rate_to;
  rules.rate_from = spec.rate_from;
  if (spec.filter) rules.ethertypes = spec.filter->ethertypes;
  // A port's bridge does that for a tap.
  if (spec.lock.value_or(false) && guest_side_of(spec.kind) == GuestSide::kMacvtap) rules.only_source = spec.guest_mac;
  return rules;
}

Status secure_port(Rtnl& rtnl, const Link& tap, const Link& bridge, const Spec& spec) {
  if (spec.isolated.value_or(false)) TRY(perform(rtnl, IsolatePort{tap}));
  if (spec.lock.value_or(false) && spec.guest_mac) TRY(perform(rtnl, LockPort{tap, bridge, *spec.guest_mac}));
  return {};
}

Status limit_traffic(Rtnl& rtnl, const Link& link, bool is_existing, const Spec& spec,
                     std::optional<TrafficBefore>* before) {
  const TrafficRules rules = traffic_rules_of(spec);
  const GuestSide side = guest_side_of(spec.kind);
  TrafficRules now;
  if (is_existing) now = TRY(read_traffic_rules(rtnl, link, side));
  if (now == rules) return {};
  // Noted first: an error may come after the deed, when the capability is to be lowered again.
  if (is_existing) *before = TrafficBefore{link, now};
  TRY(perform(rtnl, SetTrafficRules{link, side, rules}));
  return {};
}

}  // namespace tapferry
