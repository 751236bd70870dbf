// SPDX-License-Identifier: MIT
#include "helper/policy_fit.h"

#include <algorithm>

#include "base/parse.h"
#include "net/ovs.h"

namespace tapferry {
namespace {

using Reason = std::optional<std::string>;

std::string listed(const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) text += (text.empty() ? "" : ", ") + value;
  return text;
}

std::string listed(const std::vector<Pattern>& patterns) {
  std::string text;
  for (const Pattern& pattern : patterns) text += (text.empty() ? "" : ",") + to_string(pattern);
  return text;
}

// An id as the rule has it: decimal digits only. A rule's ids were checked when it was parsed.
std::optional<uint64_t> as_id(const std::string& value) { return parse_uint(value, 0, UINT32_MAX); }

// ---- Which object ---------------------------------------------------------------------------------

// Could the kernel make a name that the pattern matches out of the template? Which number it takes is not known yet, so
// any is possible.
bool may_become(std::string_view name, const Pattern& pattern) {
  const size_t percent = name.find('%');
  if (percent == std::string_view::npos) return pattern.matches(name);
  const std::string_view head = name.substr(0, percent);
  if (pattern.is_prefix && head.starts_with(pattern.text)) return true;
  std::string_view rest = pattern.text;
  return consume_prefix(&rest, head) && !rest.empty() && rest[0] >= '0' && rest[0] <= '9';
}

// "/dev/tap7", and not a spelling through which a pattern for /dev/tap* reaches another directory.
bool is_plain_path(std::string_view path) {
  const std::vector<std::string_view> components = split(path.substr(1), '/');
  return std::none_of(components.begin(), components.end(),
                      [](std::string_view part) { return part.empty() || part == "." || part == ".."; });
}

// "ovs:br-int" is matched by a pattern that begins with "ovs:" itself: who wrote `bridge=*' or `all' meant Linux bridges, and
// only for a deny may it be more.
bool names_ovs_bridge(const Rule& rule, const Spec& request) {
  if (!rule.object.text.starts_with(kOvsPrefix)) return rule.verb == Verb::kDeny && rule.object.is_anything();
  return rule.object.matches(request.object);
}

// A device can be asked for by path, name and index, and whichever of these the rule has, it means the device.
bool names_object(const Rule& rule, const Spec& request, const RequestForm& form) {
  if (request.kind == Kind::kDevice &&
      std::any_of(form.device_names.begin(), form.device_names.end(),
                  [&](const std::string& name) { return rule.object.matches(name); })) {
    return true;
  }
  if (request.kind == Kind::kBridge && ovs_bridge(request.object)) return names_ovs_bridge(rule, request);
  return rule.object.matches(request.object);
}

Reason why_other_object(const Rule& rule, const Spec& request, const RequestForm& form) {
  if (!rule.kind) return std::nullopt;
  const std::string about = "it is for " + std::string(kind_name(*rule.kind)) + "=" + to_string(rule.object);
  if (*rule.kind != request.kind) return about + ", the request for " + std::string(kind_name(request.kind));
  if (rule.verb == Verb::kAllow && request.kind == Kind::kDevice && request.object.starts_with('/') &&
      !is_plain_path(request.object)) {
    return "device= must be asked for by a plain path, without //, . and ..";
  }
  if (names_object(rule, request, form)) return std::nullopt;
  // `tap,name=vm-1` makes the same interface as `tap=vm-1`: one deny is for both.
  const bool is_named_tap = request.kind == Kind::kTap && request.object.empty() && request.name.has_value();
  if (rule.verb == Verb::kDeny && is_named_tap && may_become(*request.name, rule.object)) return std::nullopt;
  if (request.kind == Kind::kBridge && ovs_bridge(request.object) && !ovs_bridge(rule.object.text)) {
    return about + "; one of Open vSwitch needs bridge=ovs: in the rule";
  }
  if (request.object.empty()) return about + "; a tap without a name needs tap=*";
  return about;
}

// ---- Which caller ---------------------------------------------------------------------------------

// A name that the database lacks may belong to a caller whom it lacks too (both known to LDAP only, say). An allow
// can't be sure, so it doesn't match; a deny can't be sure either, so it does.
bool is_user(const Rule& rule, const std::string& value, const Accounts& accounts, const Caller& caller) {
  if (const auto id = as_id(value)) return *id == caller.uid;
  if (caller.is_named(value)) return true;
  return rule.verb == Verb::kDeny && !caller.is_in_database() && !accounts.has_user(value);
}

bool is_in_gid(const Rule& rule, gid_t gid, const Caller& caller) {
  if (caller.is_in_kernel_group(gid)) return true;
  // A process can shed its groups (CVE-2018-7169), so a deny believes the database as well.
  return rule.verb == Verb::kDeny && caller.is_in_database_group(gid);
}

// The same doubt as with users: a caller without a name may be a member by a name that the database can't tell.
bool may_be_member(const Group& group, const Accounts& accounts, const Caller& caller) {
  if (caller.is_in_database()) return false;
  return std::any_of(group.members.begin(), group.members.end(),
                     [&](const std::string& member) { return !accounts.has_user(member); });
}

bool is_in_group(const Rule& rule, const std::string& value, const Accounts& accounts, const Caller& caller) {
  if (const auto id = as_id(value)) return is_in_gid(rule, static_cast<gid_t>(*id), caller);
  bool is_known = false;
  for (const Group& group : accounts.groups) {
    if (group.name != value) continue;
    is_known = true;
    if (is_in_gid(rule, group.gid, caller)) return true;
    if (rule.verb == Verb::kDeny && may_be_member(group, accounts, caller)) return true;
  }
  return rule.verb == Verb::kDeny && !is_known && (caller.has_unknown_group || !caller.is_in_database());
}

// Listed in group(5), but the process was started before that or has shed the group.
bool is_member_by_database(const Rule& rule, const Accounts& accounts, const Caller& caller) {
  return std::any_of(accounts.groups.begin(), accounts.groups.end(), [&](const Group& group) {
    return std::find(rule.groups.begin(), rule.groups.end(), group.name) != rule.groups.end() &&
           caller.is_in_database_group(group.gid);
  });
}

// ---- What is asked --------------------------------------------------------------------------------

// A value that the rule must list: `key=value` against the rule's patterns.
Reason check_listed(std::string_view key, const std::string& value, const std::vector<Pattern>& patterns) {
  const std::string asked = std::string(key) + "=" + value;
  if (patterns.empty()) return asked + " needs " + std::string(key) + "= in the rule";
  const bool is_listed =
      std::any_of(patterns.begin(), patterns.end(), [&](const Pattern& pattern) { return pattern.matches(value); });
  if (is_listed) return std::nullopt;
  return asked + " isn't among " + std::string(key) + "=" + listed(patterns);
}

Reason check_queues(const Rule& rule, const Spec& request, const RequestForm&) {
  if (request.queues <= rule.queues) return std::nullopt;
  const std::string asked = "queues=" + std::to_string(request.queues);
  if (rule.queues == 1) return asked + " needs queues=" + std::to_string(request.queues) + " or more in the rule";
  return asked + " exceeds queues=" + std::to_string(rule.queues);
}

Reason check_mode(const Rule& rule, const Spec& request, const RequestForm&) {
  if (request.kind != Kind::kMacvtap) return std::nullopt;
  const std::string mode(mode_name(request.mode));
  if (rule.modes.empty()) {
    if (request.mode == MacvtapMode::kBridge) return std::nullopt;
    return "mode=" + mode + " needs mode=" + mode + " in the rule";
  }
  if (std::find(rule.modes.begin(), rule.modes.end(), request.mode) != rule.modes.end()) return std::nullopt;
  std::string modes;
  for (const MacvtapMode allowed : rule.modes) modes += (modes.empty() ? "" : ",") + std::string(mode_name(allowed));
  return "mode=" + mode + " isn't among mode=" + modes;
}

Reason check_name(const Rule& rule, const Spec& request, const RequestForm&) {
  if (!request.name) return std::nullopt;
  return check_listed("name", *request.name, rule.names);
}

Reason check_mac(const Rule& rule, const Spec& request, const RequestForm&) {
  if (!request.mac) return std::nullopt;
  return check_listed("mac", to_string(*request.mac), rule.macs);
}

Reason check_iface_id(const Rule& rule, const Spec& request, const RequestForm&) {
  if (!request.iface_id) return std::nullopt;
  return check_listed("iface_id", *request.iface_id, rule.iface_ids);
}

Reason check_mtu(const Rule& rule, const Spec& request, const RequestForm&) {
  if (!request.mtu) return std::nullopt;
  const std::string asked = "mtu=" + std::to_string(*request.mtu);
  if (!rule.mtu) return asked + " needs mtu=" + std::to_string(*request.mtu) + " or more in the rule";
  if (*request.mtu <= *rule.mtu) return std::nullopt;
  return asked + " exceeds mtu=" + std::to_string(*rule.mtu);
}

Reason check_vhost(const Rule& rule, const Spec& request, const RequestForm&) {
  if (request.vhost == VhostNet::kOff || rule.vhost) return std::nullopt;
  return std::string(request.vhost == VhostNet::kOn ? "vhost=on" : "vhost=auto") + " needs vhost=on in the rule";
}

Reason check_persist(const Rule& rule, const Spec& request, const RequestForm&) {
  if (!request.persist || rule.persist) return std::nullopt;
  return "persist=on needs persist=on in the rule";
}

Reason check_guest_mac(const Rule& rule, const Spec& request, const RequestForm&) {
  if (!request.guest_mac) return std::nullopt;
  return check_listed("guest_mac", to_string(*request.guest_mac), rule.guest_macs);
}

Reason check_lock(const Rule& rule, const Spec& request, const RequestForm& form) {
  if (!rule.lock) return std::nullopt;
  if (form.is_br_form) {
    return "lock=on is forced, and needs the --net form: nobody stays to watch over an interface of the --br form";
  }
  if (request.lock == false) return "lock=on is forced, the request says lock=off";
  if (request.guest_mac) return std::nullopt;
  if (rule.guest_macs.empty()) return "lock=on is forced and needs a guest_mac=, which needs guest_mac= in the rule";
  return "lock=on is forced, so the request must say guest_mac=, one of " + listed(rule.guest_macs);
}

Reason check_isolated(const Rule& rule, const Spec& request, const RequestForm&) {
  if (!rule.isolated || request.isolated != false) return std::nullopt;
  return "isolated=on is forced, the request says isolated=off";
}

Reason check_up(const Rule& rule, const Spec& request, const RequestForm&) {
  if (!rule.up_off || request.up != true) return std::nullopt;
  return "up=off is forced, the request says up=on";
}

Reason check_rate(std::string_view key, const std::optional<uint64_t>& forced, const std::optional<uint64_t>& asked) {
  if (!forced || !asked || *asked <= *forced) return std::nullopt;
  const std::string name(key);
  return name + "=" + rate_to_string(*forced) + " is forced, the request says " + name + "=" + rate_to_string(*asked);
}

Reason check_rate_to(const Rule& rule, const Spec& request, const RequestForm&) {
  return check_rate("rate_to", rule.rate_to, request.rate_to);
}

Reason check_rate_from(const Rule& rule, const Spec& request, const RequestForm&) {
  return check_rate("rate_from", rule.rate_from, request.rate_from);
}

// Whether a list is stricter than `auto` depends on the host's addresses at the time, so these two never fit each other.
bool is_as_strict(const ProtocolFilter& asked, const ProtocolFilter& forced) {
  if (asked.is_auto || forced.is_auto) return asked == forced;
  return std::includes(forced.ethertypes.begin(), forced.ethertypes.end(), asked.ethertypes.begin(),
                       asked.ethertypes.end());
}

Reason check_filter(const Rule& rule, const Spec& request, const RequestForm& form) {
  if (!rule.filter) return std::nullopt;
  if (form.is_br_form && rule.filter->is_auto) {
    return "filter=auto is forced, and needs the --net form: nobody stays to follow the host's addresses for an "
           "interface of the --br form";
  }
  if (!request.filter || is_as_strict(*request.filter, *rule.filter)) return std::nullopt;
  return "filter=" + to_string(*rule.filter) + " is forced, the request says filter=" + to_string(*request.filter);
}

// Every key that a rule can permit or force. vnet_hdr= and vnet_hdr_sz= are for anybody to ask.
constexpr Reason (*kChecks[])(const Rule&, const Spec&, const RequestForm&) = {
    check_queues,   check_mode,  check_name,    check_mac,       check_iface_id,
    check_mtu,      check_vhost, check_persist, check_lock,      check_guest_mac,
    check_isolated, check_up,    check_rate_to, check_rate_from, check_filter};

template <typename T>
void force(std::optional<T>& asked, const std::optional<T>& forced) {
  if (!asked) asked = forced;
}

}  // namespace

Reason why_other_caller(const Rule& rule, const Accounts& accounts, const Caller& caller) {
  const auto any = [](const std::vector<std::string>& values, auto matches) {
    return values.empty() || std::any_of(values.begin(), values.end(), matches);
  };
  const auto user = [&](const std::string& value) { return is_user(rule, value, accounts, caller); };
  if (!any(rule.users, user)) {
    return "user= names " + listed(rule.users) + "; the caller is " + to_string(caller);
  }
  const auto group = [&](const std::string& value) { return is_in_group(rule, value, accounts, caller); };
  if (any(rule.groups, group)) return std::nullopt;
  const std::string names = "group= names " + listed(rule.groups) + "; ";
  if (is_member_by_database(rule, accounts, caller)) {
    return names + to_string(caller) + " is a member, but this process doesn't have the group: log in again";
  }
  return names + to_string(caller) + " is in none of these";
}

std::string group_after_next_login(const Rule& rule, const Accounts& accounts, const Caller& caller) {
  for (const Group& group : accounts.groups) {
    if (std::find(rule.groups.begin(), rule.groups.end(), group.name) == rule.groups.end()) continue;
    if (caller.is_in_database_group(group.gid) && !caller.is_in_kernel_group(group.gid)) return group.name;
  }
  return "";
}

std::optional<std::string> why_no_match(const Rule& rule, const Accounts& accounts, const Caller& caller,
                                        const Spec& request, const RequestForm& form) {
  if (auto why = why_other_object(rule, request, form)) return why;
  return why_other_caller(rule, accounts, caller);
}

std::optional<std::string> why_no_fit(const Rule& rule, const Spec& request, const RequestForm& form) {
  std::string all;
  for (const auto check : kChecks) {
    if (const Reason why = check(rule, request, form)) all += (all.empty() ? "" : "; ") + *why;
  }
  if (all.empty()) return std::nullopt;
  return all;
}

Spec apply_forced(const Rule& rule, const Spec& request) {
  Spec effective = request;
  if (rule.lock) effective.lock = true;
  if (rule.isolated) effective.isolated = true;
  effective.up = request.up.value_or(!rule.up_off);
  force(effective.rate_to, rule.rate_to);
  force(effective.rate_from, rule.rate_from);
  force(effective.filter, rule.filter);
  return effective;
}

}  // namespace tapferry
