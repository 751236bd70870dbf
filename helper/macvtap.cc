// SPDX-License-Identifier: MIT
#include "helper/macvtap.h"

#include <cerrno>

#include "helper/device.h"
#include "helper/privileged.h"
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
  made.undo.is_made_by_maker = true;
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
  TRY(check_device_keys(spec));
  TRY(check_sysfs_by_a_tap(rtnl, tun));
  tun.reset();
  if (!found.is_ok()) return is_absent(found.error()) ? access_denied(verdict.asked, caller) : found.error();
  const Link& link = found.value().link;
  const std::string lower = TRY(name_of_lower(rtnl, link));
  MadeDevice device = TRY(maker.value().open_device(spec, link.index, found.value().number));
  HandOver made;
  made.queues = std::move(device.queues);
  made.grant = grant_of(link, verdict);
  made.grant.upper = lower;
  const Status finished = finish(rtnl, link, true, spec, &made);
  if (finished.is_ok()) return made;
  TRY(take_back(rtnl, maker, std::move(made)));
  return finished.error();
}

}  // namespace tapferry
