// SPDX-License-Identifier: MIT
#include "tools/link_facts.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <climits>

#include "base/parse.h"

namespace tapferry {
namespace {

constexpr int kMaxAttempts = 8;
// Flags that the ioctl's 16 bits hold; rtnetlink has the others.
constexpr unsigned kIoctlFlags = 0xffff;

// What is read once for all interfaces.
struct Tables {
  std::vector<InterfaceCounters> counters;
  std::vector<LabelledAddress> ipv4;
  std::vector<Ipv6Entry> ipv6;
  std::vector<MulticastEntry> multicast;
};

Result<Tables> read_tables(const Netdevice& device) {
  Tables tables;
  tables.ipv4 = TRY(device.ipv4_addresses());
  tables.ipv6 = TRY(read_ipv6_entries());
  tables.multicast = TRY(read_multicast_entries());
  tables.counters = TRY(read_interface_counters());
  return tables;
}

template <typename Entry>
std::vector<Entry> entries_of(const std::vector<Entry>& all, int index) {
  std::vector<Entry> own;
  std::copy_if(all.begin(), all.end(), std::back_inserter(own),
               [&](const Entry& entry) { return entry.index == index; });
  return own;
}

Result<Ipv4Facts> read_ipv4(const Netdevice& device, const LabelledAddress& one) {
  Ipv4Facts facts{.label = one.label, .address = one.address};
  const in_addr mask = TRY(device.ipv4_netmask(one.label, one.address));
  facts.prefix_len = static_cast<unsigned>(std::popcount(mask.s_addr));
  facts.broadcast = TRY(device.ipv4_broadcast(one.label, one.address));
  facts.destination = TRY(device.ipv4_destination(one.label, one.address));
  return facts;
}

Result<LinkFacts> read_link_once(const Netdevice& device, Rtnl& rtnl, const Tables& tables, const LinkTarget& link) {
  LinkFacts facts;
  facts.link = link;
  facts.detail = TRY(read_netdevice_detail(rtnl, link.index));
  const unsigned low_flags = TRY(device.flags(link.name));
  facts.flags = (low_flags & kIoctlFlags) | (facts.detail.flags & ~kIoctlFlags);
  facts.private_flags = TRY(device.private_flags(link.name));
  facts.metric = TRY(device.metric(link.name));
  facts.mtu = TRY(device.mtu(link.name));
  facts.tx_queue_len = TRY(device.tx_queue_len(link.name));
  facts.address = TRY(device.hardware_address(link.name));
  facts.map = TRY(device.map(link.name));
  for (const LabelledAddress& one : tables.ipv4) {
    if (one.interface() == link.name) facts.ipv4.push_back(TRY(read_ipv4(device, one)));
  }
  facts.ipv6 = entries_of(tables.ipv6, link.index);
  facts.multicast = entries_of(tables.multicast, link.index);
  const auto counters = std::find_if(tables.counters.begin(), tables.counters.end(),
                                     [&](const InterfaceCounters& each) { return each.name == link.name; });
  if (counters == tables.counters.end()) return Error::from_errno("find interface", link.name, ENODEV);
  facts.counters = *counters;
  return facts;
}

// The ioctls go by name. If that is another interface's in the end, what was read may be of both.
Result<LinkFacts> read_link(const Netdevice& device, Rtnl& rtnl, Tables* tables, const std::string& which) {
  for (int attempt = 0;; ++attempt) {
    const LinkTarget link = TRY(find_link_target(device, which));
    auto facts = read_link_once(device, rtnl, *tables, link);
    const auto index = device.index_of(link.name);
    const bool is_same = index.is_ok() && index.value() == link.index;
    if ((facts.is_ok() && is_same) || attempt == kMaxAttempts) return facts;
    // It went, came, or lost an address since the tables were read.
    *tables = TRY(read_tables(device));
  }
}

}  // namespace

Result<LinkTarget> find_link_target(const Netdevice& device, const std::string& which) {
  const auto index = device.index_of(which);
  if (index.is_ok()) return LinkTarget {
      index.value(), TRY(device.name_of(index.value()))
    };
  const auto number = parse_uint(which, 1, INT_MAX);
  if (!number) return index.error();
  return LinkTarget { static_cast<int>(*number), TRY(device.name_of(static_cast<int>(*number))) };
}

Result<std::vector<LinkFacts>> read_links(const std::vector<std::string>& which) {
  const Netdevice device = TRY(Netdevice::open());
  Rtnl rtnl = TRY(Rtnl::open());
  Tables tables = TRY(read_tables(device));
  std::vector<std::string> wanted = which;
  if (which.empty()) {
    for (const InterfaceCounters& each : tables.counters) wanted.push_back(each.name);
  }
  std::vector<LinkFacts> links;
  for (const std::string& name : wanted) {
    auto facts = read_link(device, rtnl, &tables, name);
    if (which.empty() && !facts.is_ok() && facts.error().code() == ENODEV) continue;
    links.push_back(TRY(std::move(facts)));
  }
  return links;
}

}  // namespace tapferry
