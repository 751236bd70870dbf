// SPDX-License-Identifier: MIT
#include "helper/kept.h"

#include "helper/port_security.h"
#include "net/tag.h"

namespace tapferry {

void KeptTable::note_node(int index, ino_t inode) {
  const auto found = table_.find(index);
  if (found != table_.end()) found->second.node = inode;
}

void KeptTable::let_stay(int index) {
  const auto found = table_.find(index);
  if (found != table_.end()) found->second.goes_with_queues = false;
}

void KeptTable::settle(int index) {
  const Kept* kept = find(index);
  if (kept == nullptr || kept->goes_with_queues || kept->fixed_mac || kept->follows_addresses || kept->node) return;
  forget(index);
}

const Kept* KeptTable::find(int index) const {
  const auto found = table_.find(index);
  return found == table_.end() ? nullptr : &found->second;
}

std::vector<int> KeptTable::indexes() const {
  std::vector<int> all;
  for (const auto& [index, kept] : table_) all.push_back(index);
  return all;
}

std::vector<int> KeptTable::followers_of(int upper) const {
  std::vector<int> followers;
  for (const auto& [index, kept] : table_) {
    if (kept.follows_addresses && kept.upper == upper) followers.push_back(index);
  }
  return followers;
}

std::optional<int> KeptTable::queue_closed(int watch) {
  for (auto& [index, kept] : table_) {
    if (kept.queues.erase(watch) == 0) continue;
    if (kept.goes_with_queues && kept.queues.empty()) return index;
    return std::nullopt;
  }
  return std::nullopt;
}

std::optional<std::string> KeptTable::why_remove(const Link& link) const {
  const Kept* kept = find(link.index);
  if (kept == nullptr || !kept->fixed_mac || link.mac == *kept->fixed_mac) return std::nullopt;
  return "it is locked, and its MAC address was changed from " + to_string(*kept->fixed_mac) + " to " +
         to_string(link.mac);
}

Kept keep_of(const Link& link, const Spec& spec, std::set<int> queues) {
  Kept kept;
  kept.name = link.name;
  kept.alias = link.alias;
  if (const auto tag = parse_tag(link.alias)) kept.uid = tag->uid;
  kept.goes_with_queues = spec.kind == Kind::kMacvtap;
  kept.queues = std::move(queues);
  if (spec.lock.value_or(false)) kept.fixed_mac = link.mac;
  kept.traffic = traffic_rules_of(spec);
  if (spec.filter && spec.filter->is_auto) {
    kept.follows_addresses = true;
    if (spec.kind == Kind::kBridge) kept.upper = link.master;
    if (spec.kind == Kind::kMacvtap) kept.upper = link.lower;
    if (kept.upper == 0) kept.upper = link.index;
  }
  return kept;
}

std::optional<Kept> keep_by_tag(const Link& link) {
  const auto tag = parse_tag(link.alias);
  if (!tag) return std::nullopt;
  const bool is_macvtap = link.kind == "macvtap" && tag->kind == Kind::kMacvtap;
  const bool is_tap = link.kind == "tun" && tag->kind != Kind::kMacvtap;
  const bool goes_with_queues = is_macvtap && !tag->persist;
  if (!is_macvtap && !is_tap) return std::nullopt;
  if (!goes_with_queues && !tag->locked_mac && !tag->follows_addresses) return std::nullopt;
  Spec spec;
  spec.kind = tag->kind;
  spec.guest_mac = tag->locked_mac;
  spec.lock = tag->locked_mac.has_value();
  if (tag->follows_addresses) spec.filter.emplace().is_auto = true;
  Kept kept = keep_of(link, spec, {});
  kept.goes_with_queues = goes_with_queues;
  kept.fixed_mac = tag->locked_mac;
  return kept;
}

}  // namespace tapferry
