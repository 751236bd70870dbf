// SPDX-License-Identifier: MIT
#include "net/address.h"

#include <cerrno>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

namespace tapferry {
namespace {

// A dump that changes each time it is asked is given up after this many.
constexpr int kMaxDumpAttempts = 8;

std::optional<IpAddress> read_address(unsigned size, const nlattr* attribute) {
  if (mnl_attr_get_payload_len(attribute) != size) return std::nullopt;
  return ip_address({static_cast<const uint8_t*>(mnl_attr_get_payload(attribute)), size});
}

}  // namespace

std::string to_string(const InterfaceAddress& address) {
  const std::string prefix = "/" + std::to_string(address.prefix_length);
  if (!address.peer) return to_string(address.local) + prefix;
  return to_string(address.local) + " peer " + to_string(*address.peer) + prefix;
}

bool is_same_address(const InterfaceAddress& a, const InterfaceAddress& b) {
  if (a.ifindex != b.ifindex || a.local != b.local) return false;
  return a.local.is_v6 || (a.prefix_length == b.prefix_length && a.peer == b.peer);
}

std::optional<InterfaceAddress> parse_address(const nlmsghdr* header) {
  if (header->nlmsg_type != RTM_NEWADDR && header->nlmsg_type != RTM_DELADDR) return std::nullopt;
  if (header->nlmsg_len < NLMSG_LENGTH(sizeof(ifaddrmsg))) return std::nullopt;
  const auto* info = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(header));
  if (info->ifa_family != AF_INET && info->ifa_family != AF_INET6) return std::nullopt;
  const unsigned size = info->ifa_family == AF_INET ? 4 : 16;
  if (info->ifa_prefixlen > 8 * size) return std::nullopt;
  InterfaceAddress address;
  address.ifindex = static_cast<int>(info->ifa_index);
  address.prefix_length = info->ifa_prefixlen;
  address.scope = info->ifa_scope;
  address.flags = info->ifa_flags;
  // IFA_LOCAL is the interface's own, and then IFA_ADDRESS that of the peer, or the same again; without IFA_LOCAL, which
  // IPv6 only has with a peer, IFA_ADDRESS is the interface's own (inet6_fill_ifaddr()).
  std::optional<IpAddress> local;
  std::optional<IpAddress> either;
  for_each_attribute(header, sizeof(ifaddrmsg), [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case IFA_LOCAL: local = read_address(size, attribute); break;
      case IFA_ADDRESS: either = read_address(size, attribute); break;
      case IFA_FLAGS:  // all 32 of them; the header has room for eight
        if (mnl_attr_get_payload_len(attribute) == sizeof address.flags) address.flags = mnl_attr_get_u32(attribute);
        break;
      default: break;
    }
  });
  if (!local && !either) return std::nullopt;
  address.local = local ? *local : *either;
  if (local && either && *either != *local) address.peer = either;
  return address;
}

Status for_each_address(Rtnl& rtnl, int ifindex, const std::function<void(const InterfaceAddress&)>& visit) {
  for (int attempt = 1;; ++attempt) {
    RtnlRequest request(RTM_GETADDR, NLM_F_DUMP);
    request.family_header<ifaddrmsg>()->ifa_index = static_cast<unsigned>(ifindex);
    const Status status = rtnl.query(request, "list", "the addresses", [&](const nlmsghdr* answer) {
      const auto address = parse_address(answer);
      if (address && (ifindex == 0 || address->ifindex == ifindex)) visit(*address);
      return true;
    });
    if (status.is_ok() || status.error().code() != EINTR || attempt == kMaxDumpAttempts) return status;
  }
}

}  // namespace tapferry
