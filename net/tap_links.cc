// SPDX-License-Identifier: MIT
#include "net/tap_links.h"

#include <cerrno>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>

#include "net/macvtap.h"

namespace tapferry {
namespace {

constexpr int kMaxDumpAttempts = 4;

struct TunData {
  uint8_t type = 0;  // IFF_TUN or IFF_TAP
  bool is_multi_queue = false;
  unsigned queues = 0;
};

TunData read_tun_data(const nlattr* info) {
  TunData tun;
  const auto read = [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case IFLA_TUN_TYPE: tun.type = value_of<uint8_t>(attribute); break;
      case IFLA_TUN_MULTI_QUEUE: tun.is_multi_queue = value_of<uint8_t>(attribute) != 0; break;
      case IFLA_TUN_NUM_QUEUES:
      case IFLA_TUN_NUM_DISABLED_QUEUES: tun.queues += value_of<uint32_t>(attribute); break;
      default: break;
    }
  };
  for_each_nested(info, [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == IFLA_INFO_DATA) for_each_nested(attribute, read);
  });
  return tun;
}

void read_counters(const nlattr* attribute, TapLink* tap) {
  const auto stats = value_of<rtnl_link_stats64>(attribute);
  tap->received = {stats.rx_bytes, stats.rx_packets, stats.rx_errors, stats.rx_dropped};
  tap->sent = {stats.tx_bytes, stats.tx_packets, stats.tx_errors, stats.tx_dropped};
}

}  // namespace

std::optional<TapLink> parse_tap_link(const nlmsghdr* header) {
  auto link = parse_link(header);
  if (!link || (link->kind != "tun" && !has_tap_device(link->kind))) return std::nullopt;
  TapLink tap;
  tap.link = *std::move(link);
  TunData tun;
  for_each_attribute(header, sizeof(ifinfomsg), [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case IFLA_STATS64: read_counters(attribute, &tap); break;
      case IFLA_LINK_NETNSID: tap.is_lower_elsewhere = true; break;
      case IFLA_LINKINFO:
        // A macvtap's data has other attributes under the same numbers.
        if (tap.link.kind == "tun") tun = read_tun_data(attribute);
        break;
      default: break;
    }
  });
  if (tap.link.kind == "tun" && tun.type != IFF_TAP) return std::nullopt;
  if (tun.is_multi_queue) tap.queues = tun.queues;
  tap.port = parse_port_flags(header);
  return tap;
}

Result<TapLinks> read_tap_links(Rtnl& rtnl) {
  for (int attempt = 1;; ++attempt) {
    std::map<int, TapLink> found;
    TapLinks links;
    RtnlRequest request(RTM_GETLINK, NLM_F_DUMP);
    request.family_header<ifinfomsg>();
    const Status status = rtnl.query(request, "list", "the interfaces", [&](const nlmsghdr* answer) {
      if (auto tap = parse_tap_link(answer)) {
        const int index = tap->link.index;
        links.names[index] = tap->link.name;
        found[index] = *std::move(tap);
      } else if (const auto link = parse_link(answer)) {
        links.names[link->index] = link->name;
      }
      return true;
    });
    if (!status.is_ok() && status.error().code() != EINTR) return status.error();
    if (!status.is_ok() && attempt < kMaxDumpAttempts) continue;
    for (auto& [index, tap] : found) links.taps.push_back(std::move(tap));
    return links;
  }
}

}  // namespace tapferry
