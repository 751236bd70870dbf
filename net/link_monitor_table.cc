// SPDX-License-Identifier: MIT
#include "net/link_monitor_table.h"

#include <algorithm>
#include <linux/if.h>
#include <linux/rtnetlink.h>

namespace tapferry {
namespace {

bool has_same_addresses(const InterfaceState& a, const InterfaceState& b) {
  return a.addresses.size() == b.addresses.size() &&
         std::is_permutation(a.addresses.begin(), a.addresses.end(), b.addresses.begin());
}

bool has_same_altnames(const Link& a, const Link& b) {
  return a.altnames.size() == b.altnames.size() &&
         std::is_permutation(a.altnames.begin(), a.altnames.end(), b.altnames.begin());
}

LinkChange change_of(LinkChange::Kind kind, InterfaceState state) {
  LinkChange change;
  change.kind = kind;
  change.state = std::move(state);
  return change;
}

}  // namespace

bool InterfaceState::has_link() const { return (link.flags & IFF_LOWER_UP) != 0; }

Aspects differences(const InterfaceState& before, const InterfaceState& after) {
  const Link& a = before.link;
  const Link& b = after.link;
  Aspects aspects;
  aspects.add(Aspect::kName, a.name != b.name);
  aspects.add(Aspect::kUp, a.is_up() != b.is_up());
  aspects.add(Aspect::kCarrier, before.has_link() != after.has_link());
  aspects.add(Aspect::kFlags, a.flags != b.flags);
  aspects.add(Aspect::kMtu, a.mtu != b.mtu);
  aspects.add(Aspect::kMac, a.mac != b.mac);
  aspects.add(Aspect::kMaster, a.master != b.master);
  aspects.add(Aspect::kAlias, a.alias != b.alias);
  aspects.add(Aspect::kAltnames, !has_same_altnames(a, b));
  aspects.add(Aspect::kAddresses, !has_same_addresses(before, after));
  aspects.add(Aspect::kSpeed, before.media.speed_mbit != after.media.speed_mbit);
  aspects.add(Aspect::kDuplex, before.media.duplex != after.media.duplex);
  return aspects;
}

void put_address(std::vector<InterfaceAddress>* addresses, const InterfaceAddress& address) {
  for (InterfaceAddress& known : *addresses) {
    if (is_same_address(known, address)) {
      known = address;
      return;
    }
  }
  addresses->push_back(address);
}

std::optional<LinkChange> LinkTable::apply(const nlmsghdr* header) {
  if (auto link = parse_link(header)) {
    if (header->nlmsg_type == RTM_DELLINK) return remove(link->index);
    return set_link(*std::move(link));
  }
  if (const auto address = parse_address(header)) {
    return header->nlmsg_type == RTM_DELADDR ? drop_address(*address) : set_address(*address);
  }
  return std::nullopt;
}

std::optional<LinkChange> LinkTable::set_link(Link link) {
  const auto [at, is_new] = interfaces_.try_emplace(link.index);
  if (is_new) {
    at->second.link = std::move(link);
    return change_of(LinkChange::Kind::kAdded, at->second);
  }
  InterfaceState after = at->second;
  after.link = std::move(link);
  return become(&at->second, std::move(after));
}

std::optional<LinkChange> LinkTable::remove(int ifindex) {
  auto node = interfaces_.extract(ifindex);
  if (node.empty()) return std::nullopt;
  return change_of(LinkChange::Kind::kRemoved, std::move(node.mapped()));
}

std::optional<LinkChange> LinkTable::set_address(const InterfaceAddress& address) {
  const auto at = interfaces_.find(address.ifindex);
  if (at == interfaces_.end()) return std::nullopt;
  InterfaceState after = at->second;
  put_address(&after.addresses, address);
  return become(&at->second, std::move(after));
}

std::optional<LinkChange> LinkTable::drop_address(const InterfaceAddress& address) {
  const auto at = interfaces_.find(address.ifindex);
  if (at == interfaces_.end()) return std::nullopt;
  InterfaceState after = at->second;
  std::erase_if(after.addresses, [&](const InterfaceAddress& known) { return is_same_address(known, address); });
  return become(&at->second, std::move(after));
}

std::optional<LinkChange> LinkTable::set_media(int ifindex, const Media& media) {
  const auto at = interfaces_.find(ifindex);
  if (at == interfaces_.end()) return std::nullopt;
  InterfaceState after = at->second;
  after.media = media;
  return become(&at->second, std::move(after));
}

std::optional<LinkChange> LinkTable::become(InterfaceState* state, InterfaceState after) {
  const Aspects aspects = differences(*state, after);
  std::swap(*state, after);
  if (aspects.is_empty()) return std::nullopt;
  LinkChange change = change_of(LinkChange::Kind::kChanged, *state);
  change.before = std::move(after);
  change.aspects = aspects;
  return change;
}

std::vector<LinkChange> LinkTable::replace(Interfaces fresh) {
  std::vector<LinkChange> changes;
  for (auto at = interfaces_.begin(); at != interfaces_.end();) {
    // One of another kind got the index of one that is gone.
    const auto same = fresh.find(at->first);
    const bool is_gone = same == fresh.end() || same->second.link.kind != at->second.link.kind;
    if (is_gone) changes.push_back(change_of(LinkChange::Kind::kRemoved, std::move(at->second)));
    at = is_gone ? interfaces_.erase(at) : std::next(at);
  }
  for (auto& [ifindex, state] : fresh) {
    const auto known = interfaces_.find(ifindex);
    if (known == interfaces_.end()) {
      changes.push_back(change_of(LinkChange::Kind::kAdded, state));
      interfaces_.emplace(ifindex, std::move(state));
      continue;
    }
    state.media = known->second.media;
    if (auto change = become(&known->second, std::move(state))) changes.push_back(*std::move(change));
  }
  return changes;
}

const InterfaceState* LinkTable::find(int ifindex) const {
  const auto at = interfaces_.find(ifindex);
  return at == interfaces_.end() ? nullptr : &at->second;
}

}  // namespace tapferry
