// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <glib.h>
#include <pwd.h>

#include "net/macvtap.h"
#include "net/macvtap_claim.h"
#include "net/ovs.h"
#include "tools/status.h"

namespace tapferry {
namespace {

// What a look keeps is learned anew after this: descriptors change hands, and administrators rules, without a word.
constexpr int64_t kKeepUs = 10 * G_USEC_PER_SEC;

GuestSide side_of(const Link& link) { return link.kind == "tun" ? GuestSide::kTap : GuestSide::kMacvtap; }

std::string kind_of(const TapLink& tap, const std::optional<Tag>& tag) {
  if (tag) return std::string(kind_name(tag->kind));
  if (tap.link.kind != "tun") return tap.link.kind;
  return std::string(kind_name(tap.port ? Kind::kBridge : Kind::kTap));
}

// As it is now, where that is an interface of this namespace; as the tag says otherwise.
std::string upper_of(const TapLink& tap, const TapLinks& links, const std::optional<Tag>& tag) {
  // Open vSwitch's kernel datapath has one master for all its bridges, the other one none.
  if (tag && ovs_bridge(tag->upper)) return tag->upper;
  int index = tap.link.master;
  if (tap.link.kind != "tun") index = tap.is_lower_elsewhere ? 0 : tap.link.lower;
  const auto at = links.names.find(index);
  if (at != links.names.end()) return at->second;
  return tag && tap.link.kind != "tun" ? tag->upper : "";
}

TrafficRate rate_of(const FrameCounters& before, const FrameCounters& now, double interval_s) {
  return {static_cast<double>(now.bytes - before.bytes) / interval_s,
          static_cast<double>(now.frames - before.frames) / interval_s};
}

bool has_grown(const FrameCounters& before, const FrameCounters& now) {
  return now.bytes >= before.bytes && now.frames >= before.frames;
}

}  // namespace

Result<StatusObserver> StatusObserver::open(StatusSelection selection) {
  return StatusObserver(std::move(selection), TRY(Rtnl::open()));
}

bool StatusObserver::is_selected(const TapLink& tap) const {
  const auto& names = selection_.names;
  if (!names.empty()) return std::find(names.begin(), names.end(), tap.link.name) != names.end();
  return selection_.is_all || parse_tag(tap.link.alias);
}

Status StatusObserver::check_names(const TapLinks& links) const {
  for (const std::string& name : selection_.names) {
    const auto has_name = [&](const TapLink& tap) { return tap.link.name == name; };
    if (std::any_of(links.taps.begin(), links.taps.end(), has_name)) continue;
    const auto exists = [&](const auto& entry) { return entry.second == name; };
    if (std::none_of(links.names.begin(), links.names.end(), exists))
      return Error::from_errno("find interface", name, ENODEV);
    return Error("show", name, "it is neither a tap nor a macvtap").with_hint("tapferry link show has the others");
  }
  return {};
}

Result<StatusSnapshot> StatusObserver::look() {
  TapLinks links = TRY(read_tap_links(rtnl_));
  StatusSnapshot snapshot;
  snapshot.time_us = g_get_real_time();
  snapshot.monotonic_us = g_get_monotonic_time();
  if (is_first_) TRY(check_names(links));
  std::erase_if(links.taps, [&](const TapLink& tap) { return !is_selected(tap); });
  if (!is_first_) snapshot.interval_s = static_cast<double>(snapshot.monotonic_us - last_look_us_) / G_USEC_PER_SEC;
  const bool is_old = snapshot.monotonic_us - last_scan_us_ > kKeepUs;
  if (is_old) {
    for (auto& [index, remembered] : remembered_) remembered.rules.reset();
  }
  if (remember(links) || is_old || is_first_) {
    holders_ = links.taps.empty() ? Holders() : find_holders();
    last_scan_us_ = snapshot.monotonic_us;
  }
  for (const TapLink& tap : links.taps) {
    snapshot.interfaces.push_back(describe(tap, links));
    add_rates(&snapshot.interfaces.back(), snapshot.interval_s);
  }
  std::sort(snapshot.interfaces.begin(), snapshot.interfaces.end(),
            [](const auto& a, const auto& b) { return strverscmp(a.link.name.c_str(), b.link.name.c_str()) < 0; });
  last_look_us_ = snapshot.monotonic_us;
  is_first_ = false;
  return snapshot;
}

// True: who holds what may have changed.
bool StatusObserver::remember(const TapLinks& links) {
  bool has_changed = links.taps.size() != remembered_.size();
  std::map<int, Remembered> now;
  for (const TapLink& tap : links.taps) {
    const auto known = remembered_.find(tap.link.index);
    const bool is_same = known != remembered_.end() && known->second.name == tap.link.name &&
                         known->second.has_carrier == tap.link.has_carrier;
    has_changed |= !is_same;
    Remembered remembered = is_same ? std::move(known->second) : learn(tap);
    if (!is_same && known != remembered_.end()) remembered.counted = known->second.counted;
    if (!remembered.rules) {
      auto rules = read_traffic_rules(rtnl_, tap.link, side_of(tap.link));
      if (rules.is_ok()) remembered.rules = std::move(rules).value();
    }
    now.emplace(tap.link.index, std::move(remembered));
  }
  remembered_ = std::move(now);
  return has_changed;
}

StatusObserver::Remembered StatusObserver::learn(const TapLink& tap) {
  Remembered remembered;
  remembered.name = tap.link.name;
  remembered.has_carrier = tap.link.has_carrier;
  if (!has_tap_device(tap.link.kind)) return remembered;
  const auto device = macvtap_device(tap.link);
  if (device.is_ok()) remembered.device = device.value();
  return remembered;
}

InterfaceStatus StatusObserver::describe(const TapLink& tap, const TapLinks& links) {
  const Remembered& remembered = remembered_.at(tap.link.index);
  InterfaceStatus status;
  status.link = tap.link;
  status.tag = parse_tag(tap.link.alias);
  status.kind = kind_of(tap, status.tag);
  status.upper = upper_of(tap, links, status.tag);
  status.uid = status.tag ? std::optional(status.tag->uid) : tap.link.tap_owner;
  if (status.uid) status.user = user_name(*status.uid);
  status.queues = tap.queues;
  status.port = tap.port;
  status.rules = remembered.rules;
  const bool is_tap = side_of(tap.link) == GuestSide::kTap;
  status.received = is_tap ? tap.sent : tap.received;
  status.sent = is_tap ? tap.received : tap.sent;
  find_holders_of(&status, remembered);
  return status;
}

void StatusObserver::find_holders_of(InterfaceStatus* status, const Remembered& remembered) const {
  const bool is_tap = side_of(status->link) == GuestSide::kTap;
  if (is_tap) {
    status->holders = holders_.of_tap(status->link.name, status->uid.value_or(UINT32_MAX));
    // A tap has a carrier for as long as it has a queue, unless its holder switches it off (TUNSETCARRIER).
    if (!status->queues) status->queues = status->link.has_carrier || !status->holders.empty() ? 1 : 0;
    status->has_unseen_holder = status->holders.empty() && *status->queues > 0;
    return;
  }
  if (remembered.device) status->holders = holders_.of_macvtap(*remembered.device);
  unsigned queues = 0;
  for (const HolderProcess& holder : status->holders) queues = std::max(queues, holder.queues);
  status->has_unseen_holder = status->holders.empty() && (!holders_.is_complete || !remembered.device);
  if (!status->has_unseen_holder) status->queues = queues;
}

void StatusObserver::add_rates(InterfaceStatus* status, double interval_s) {
  auto& counted = remembered_.at(status->link.index).counted;
  if (counted && interval_s > 0 && has_grown(counted->first, status->received) &&
      has_grown(counted->second, status->sent)) {
    status->receive_rate = rate_of(counted->first, status->received, interval_s);
    status->send_rate = rate_of(counted->second, status->sent, interval_s);
  }
  counted = {status->received, status->sent};
}

const std::string& StatusObserver::user_name(uint32_t uid) {
  const auto [at, is_new] = users_.try_emplace(uid);
  if (is_new) {
    const passwd* entry = getpwuid(uid);
    at->second = entry != nullptr ? entry->pw_name : std::to_string(uid);
  }
  return at->second;
}

const char* InterfaceStatus::state() const {
  if (!link.is_up()) return "down";
  return link.has_carrier ? "up" : "no-carrier";
}

// A bridge's port learns from a locked guest if it isn't kept from it, so both belong to it (net/bridge_port.h).
bool InterfaceStatus::is_locked() const {
  if (port && port->locked.value_or(false) && !port->learning.value_or(true)) return true;
  return rules && rules->only_source.has_value();
}

bool InterfaceStatus::is_persistent() const { return link.is_persistent_tap || (tag && tag->persist); }

bool StatusSnapshot::has_unseen_holders() const {
  return std::any_of(interfaces.begin(), interfaces.end(), [](const auto& one) { return one.has_unseen_holder; });
}

}  // namespace tapferry
