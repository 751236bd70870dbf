// SPDX-License-Identifier: MIT
#include "net/tc.h"

#include <cerrno>
#include <string>

#include "net/spec.h"
#include "net/tc_hooks.h"

namespace tapferry {
namespace {

FrameRules from_guest(const TrafficRules& rules) { return {rules.only_source, rules.ethertypes}; }
FrameRules to_guest(const TrafficRules& rules) { return {std::nullopt, rules.ethertypes}; }

// Each rule at the place that its direction has on this kind of interface.
TrafficHooks hooks_for(GuestSide side, const TrafficRules& rules) {
  TrafficHooks hooks;
  const bool is_tap = side == GuestSide::kTap;
  hooks.queue_rate = is_tap ? rules.rate_to : rules.rate_from;
  hooks.ingress_rate = is_tap ? rules.rate_from : rules.rate_to;
  hooks.ingress = is_tap ? from_guest(rules) : to_guest(rules);
  hooks.egress = is_tap ? to_guest(rules) : from_guest(rules);
  return hooks;
}

TrafficRules rules_of(GuestSide side, const TrafficHooks& hooks) {
  const bool is_tap = side == GuestSide::kTap;
  const FrameRules& from = is_tap ? hooks.ingress : hooks.egress;
  TrafficRules rules;
  rules.rate_to = is_tap ? hooks.queue_rate : hooks.ingress_rate;
  rules.rate_from = is_tap ? hooks.ingress_rate : hooks.queue_rate;
  rules.only_source = from.only_source;
  rules.ethertypes = from.ethertypes;
  return rules;
}

// The kernel says ENOENT when a module is neither there nor to be loaded, EEXIST when the administrator has a qdisc there.
Status explained(const Status& status, std::string_view what_is_missing) {
  if (status.is_ok()) return {};
  const Error& error = status.error();
  Error told = Error::from_errno(error.action(), error.object(), error.code());
  if (error.code() == ENOENT) {
    return std::move(told)
        .with_reason("this kernel has no " + std::string(what_is_missing))
        .with_hint("load that module, or do without rate and filter");
  }
  if (error.code() == EEXIST) {
    return std::move(told)
        .with_reason("it has queueing or filters of its own")
        .with_hint("`tc qdisc show dev " + error.object() + "' shows them");
  }
  return error;
}

Status check_rate(const Link& link, const std::optional<uint64_t>& rate) {
  if (!rate || *rate >= kMinRate) return {};
  return Error::from_errno("limit the rate of", link.name, ERANGE)
      .with_reason(rate_to_string(*rate) + " is less than " + rate_to_string(kMinRate) +
                   ", the least that can be held");
}

Status put_hook(Rtnl& rtnl, const Link& link, Hook hook, const FrameRules& rules) {
  if (rules.is_empty()) return {};
  return explained(put_frame_filter(rtnl, link, hook, rules), "cls_bpf");
}

// What is wanted, over what is there.
Status put_wanted(Rtnl& rtnl, const Link& link, const TrafficHooks& now, const TrafficHooks& wanted) {
  if (wanted.queue_rate) {
    TRY(explained(put_queue_rate(rtnl, link, *wanted.queue_rate, now.queue_rate.has_value()), "sch_tbf"));
  }
  if (!wanted.needs_clsact()) return {};
  if (now.clsact == Clsact::kForeign) return explained(Error::from_errno("filter", link.name, EEXIST), "");
  if (now.clsact == Clsact::kNone) TRY(explained(add_clsact(rtnl, link), "sch_ingress"));
  TRY(put_hook(rtnl, link, Hook::kIngress, wanted.ingress));
  TRY(put_hook(rtnl, link, Hook::kEgress, wanted.egress));
  if (!wanted.ingress_rate) return {};
  return explained(put_ingress_rate(rtnl, link, *wanted.ingress_rate), "act_police or cls_bpf");
}

Status delete_unwanted(Rtnl& rtnl, const Link& link, const TrafficHooks& now, const TrafficHooks& wanted) {
  if (now.queue_rate && !wanted.queue_rate) TRY(delete_queue_rate(rtnl, link));
  if (now.clsact != Clsact::kOurs) return {};
  if (!wanted.needs_clsact()) return delete_clsact(rtnl, link);
  if (!now.ingress.is_empty() && wanted.ingress.is_empty()) TRY(delete_frame_filter(rtnl, link, Hook::kIngress));
  if (!now.egress.is_empty() && wanted.egress.is_empty()) TRY(delete_frame_filter(rtnl, link, Hook::kEgress));
  if (now.ingress_rate && !wanted.ingress_rate) TRY(delete_ingress_rate(rtnl, link));
  return {};
}

// What is there is never weaker meanwhile than the weaker of both: first all that is wanted, then away with the rest.
Status change(Rtnl& rtnl, const Link& link, const TrafficHooks& now, const TrafficHooks& wanted) {
  TRY(put_wanted(rtnl, link, now, wanted));
  return delete_unwanted(rtnl, link, now, wanted);
}

}  // namespace

Status apply_traffic_rules(Rtnl& rtnl, const Link& link, GuestSide side, const TrafficRules& rules) {
  TRY(check_rate(link, rules.rate_to));
  TRY(check_rate(link, rules.rate_from));
  const TrafficHooks before = TRY(read_hooks(rtnl, link));
  const Status changed = change(rtnl, link, before, hooks_for(side, rules));
  if (changed.is_ok()) return {};
  // Wherever that stopped: back from what is there now.
  const Result<TrafficHooks> now = read_hooks(rtnl, link);
  if (!now.is_ok()) return now.error();
  const Status undone = change(rtnl, link, now.value(), before);
  return undone.is_ok() ? changed : undone;
}

Result<TrafficRules> read_traffic_rules(Rtnl& rtnl, const Link& link, GuestSide side) {
  const TrafficHooks hooks = TRY(read_hooks(rtnl, link));
  return rules_of(side, hooks);
}

Status replace_frame_filter(Rtnl& rtnl, const Link& link, GuestSide side, const TrafficRules& rules) {
  const TrafficHooks wanted = hooks_for(side, rules);
  TRY(put_hook(rtnl, link, Hook::kIngress, wanted.ingress));
  return put_hook(rtnl, link, Hook::kEgress, wanted.egress);
}

}  // namespace tapferry
