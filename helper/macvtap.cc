// SPDX-License-Identifier: MIT
#include "helper/macvtap.h"

#include <cerrno>

#include "helper/device.h"
#include "helper/port_security.h"
#include "helper/privileged.h"
#include "helper/user_node.h"
#include "net/tag.h"
#include "net/tun.h"

namespace tapferry {
namespace {

// One that was granted with persist=on is its user's, as a persistent tap is. What its own rule has put on it stays, since the rule of
// this request may have less to force.
bool is_persistent(const std::optional<Tag>& tag) { return tag && tag->kind == Kind::kMacvtap && tag->persist; }

Status check_persistent(const Link& link, const Tag& tag, const Spec& spec, const Identity& caller) {
  if (tag.uid != caller.uid) return Error("open device", link.name, "it was granted to somebody else, with persist=on");
  if (traffic_rules_of(spec) == TrafficRules()) return {};
  return Error("open device", link.name,
               "it was granted with persist=on, and rate_to=, rate_from= and filter= are for new ones")
      .with_hint("leave them out; if a rule forces them: its owner opens " + user_node_path(link.index) +
                 " without the helper");
}

Status finish_persistent(Rtnl& rtnl, const Link& link, const Tag& tag, const Spec& spec, HandOver* made) {
  made->grant.up = link.is_up();
  if (link.is_up() || tag.stays_down || !spec.up.value_or(true)) return {};
  made->undo.bring_down = link;
  TRY(perform(rtnl, BringUp{link}));
  made->grant.up = true;
  return {};
}

// What can't be reached is as good as absent; what is something else is said, since the policy allowed to ask for it.
bool is_absent(const Error& error) {
  const int code = error.code();
  return code == ENODEV || code == ENOENT || code == EACCES || code == ENOTDIR || code == ELOOP;
}

Status check_sysfs_by_a_tap(Rtnl& rtnl, const Fd& tun) {
  const std::string name = TRY(perform(rtnl, CreateTap{tun.get(), fresh_interface_name("sysfs", 0), {}}));
  const Link probe = TRY(get_link(rtnl, name));
  return check_sysfs(name, probe.index);
}

// Empty where it is in another network namespace.
Result<std::string> name_of_lower(Rtnl& rtnl, const Link& link) {
  if (link.lower == 0) return std::string();
  const Result<Link> lower = get_link(rtnl, link.lower);
  if (lower.is_ok()) return lower.value().name;
  if (lower.error().code() == ENODEV) return std::string();
  return lower.error();
}

}  // namespace

Result<HandOver> make_macvtap(Rtnl& rtnl, Result<Maker>& maker, const Identity& caller, const Verdict& verdict) {
  const Spec& spec = verdict.effective;
  const Result<Link> parent = get_link(rtnl, spec.object);
  if (!parent.is_ok()) return parent.error().code() == ENODEV ? access_denied(verdict.asked, caller) : parent.error();
  MadeDevice device = TRY(
      maker.value().make_macvtap({spec, verdict.rule_label, verdict.rule_hash, verdict.quota_max, verdict.stays_down}));
  HandOver made;
  made.queues = std::move(device.queues);
  made.undo.made_by_maker = caller.uid;
  const Result<Link> macvtap = get_link(rtnl, device.index);
  if (macvtap.is_ok()) {
    made.grant = grant_of(macvtap.value(), verdict);
    return made;
  }
  TRY(take_back(rtnl, maker, std::move(made)));
  return macvtap.error();
}

Result<HandOver> open_device(Rtnl& rtnl, Result<Maker>& maker, Fd tun, const Identity& caller, const Verdict& verdict,
                             const Result<Device>& found) {
  const Spec& spec = verdict.effective;
  TRY(check_sysfs_by_a_tap(rtnl, tun));
  tun.reset();
  if (!found.is_ok()) return is_absent(found.error()) ? access_denied(verdict.asked, caller) : found.error();
  const Link& link = found.value().link;
  const auto tag = parse_tag(link.alias);
  if (is_persistent(tag)) TRY(check_persistent(link, *tag, spec, caller));
  const std::string lower = TRY(name_of_lower(rtnl, link));
  MadeDevice device = TRY(maker.value().open_device(spec, link.index, found.value().number));
  HandOver made;
  made.queues = std::move(device.queues);
  made.grant = grant_of(link, verdict);
  made.grant.upper = lower;
  const Status finished =
      is_persistent(tag) ? finish_persistent(rtnl, link, *tag, spec, &made) : finish(rtnl, link, true, spec, &made);
  if (finished.is_ok()) return made;
  TRY(take_back(rtnl, maker, std::move(made)));
  return finished.error();
}

}  // namespace tapferry
