// SPDX-License-Identifier: MIT
#include "net/netdevice_detail.h"

#include <cerrno>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <optional>

namespace tapferry {
namespace {

std::vector<uint8_t> bytes_of(const nlattr* attribute) {
  const auto* bytes = static_cast<const uint8_t*>(mnl_attr_get_payload(attribute));
  return {bytes, bytes + mnl_attr_get_payload_len(attribute)};
}

NetdeviceDetail detail_in(const nlmsghdr* answer) {
  NetdeviceDetail detail;
  detail.flags = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(answer))->ifi_flags;
  for_each_attribute(answer, sizeof(ifinfomsg), [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case IFLA_ADDRESS: detail.address = bytes_of(attribute); break;
      case IFLA_BROADCAST: detail.broadcast = bytes_of(attribute); break;
      case IFLA_MIN_MTU: detail.min_mtu = value_of<uint32_t>(attribute); break;
      case IFLA_MAX_MTU: detail.max_mtu = value_of<uint32_t>(attribute); break;
      default: break;
    }
  });
  return detail;
}

}  // namespace

Result<NetdeviceDetail> read_netdevice_detail(Rtnl& rtnl, int index) {
  const std::string object = std::to_string(index);
  RtnlRequest request(RTM_GETLINK, 0);
  request.family_header<ifinfomsg>()->ifi_index = index;
  request.put_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  std::optional<NetdeviceDetail> detail;
  TRY(rtnl.query(request, "find interface", object, [&](const nlmsghdr* answer) {
    const bool is_link = answer->nlmsg_type == RTM_NEWLINK && answer->nlmsg_len >= NLMSG_LENGTH(sizeof(ifinfomsg));
    if (is_link) detail = detail_in(answer);
    return true;
  }));
  if (!detail) return Error::from_errno("find interface", object, ENODEV);
  return *std::move(detail);
}

}  // namespace tapferry
