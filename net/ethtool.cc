// SPDX-License-Identifier: MIT
#include "net/ethtool.h"

#include <cerrno>
#include <cstring>
#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <sys/socket.h>

#include "base/syscall.h"

namespace tapferry {
namespace {

constexpr const char* kAction = "ask for the media of";
// With compact bitsets an answer is some hundred bytes; the description of the family is the largest.
constexpr size_t kReceiveSize = 32768;

// Nothing for a payload that is too short.
template <typename T>
std::optional<T> number(const nlattr* attribute) {
  if (mnl_attr_get_payload_len(attribute) < sizeof(T)) return std::nullopt;
  T value;
  memcpy(&value, mnl_attr_get_payload(attribute), sizeof value);
  return value;
}

uint8_t command_of(const nlmsghdr* header) {
  return static_cast<const genlmsghdr*>(mnl_nlmsg_get_payload(header))->cmd;
}

std::optional<Duplex> to_duplex(std::optional<uint8_t> value) {
  if (value == DUPLEX_HALF) return Duplex::kHalf;
  if (value == DUPLEX_FULL) return Duplex::kFull;
  return std::nullopt;
}

// Of the family's multicast groups, the one that ethtool's notifications go to.
uint32_t monitor_group_in(const nlattr* groups) {
  uint32_t found = 0;
  for_each_nested(groups, [&](const nlattr* group) {
    std::string name;
    uint32_t id = 0;
    for_each_nested(group, [&](const nlattr* attribute) {
      const uint16_t type = mnl_attr_get_type(attribute);
      if (type == CTRL_ATTR_MCAST_GRP_NAME) name = string_of(attribute);
      if (type == CTRL_ATTR_MCAST_GRP_ID) id = number<uint32_t>(attribute).value_or(0);
    });
    if (name == ETHTOOL_MCGRP_MONITOR_NAME) found = id;
  });
  return found;
}

}  // namespace

std::optional<MediaMessage> parse_media(const nlmsghdr* header) {
  if (header->nlmsg_len < NLMSG_LENGTH(sizeof(genlmsghdr))) return std::nullopt;
  const uint8_t command = command_of(header);
  // The notification has the reply's form.
  if (command != ETHTOOL_MSG_LINKMODES_GET_REPLY && command != ETHTOOL_MSG_LINKMODES_NTF) return std::nullopt;
  MediaMessage message;
  for_each_attribute(header, sizeof(genlmsghdr), [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case ETHTOOL_A_LINKMODES_HEADER:
        for_each_nested(attribute, [&](const nlattr* inner) {
          if (mnl_attr_get_type(inner) == ETHTOOL_A_HEADER_DEV_INDEX) message.ifindex = number<int>(inner).value_or(0);
        });
        break;
      case ETHTOOL_A_LINKMODES_SPEED:
        message.media.speed_mbit = number<uint32_t>(attribute);
        if (message.media.speed_mbit == static_cast<uint32_t>(SPEED_UNKNOWN)) message.media.speed_mbit.reset();
        break;
      case ETHTOOL_A_LINKMODES_DUPLEX: message.media.duplex = to_duplex(number<uint8_t>(attribute)); break;
      default: break;
    }
  });
  if (message.ifindex <= 0) return std::nullopt;
  return message;
}

Result<Ethtool> Ethtool::open() {
  mnl_socket* socket = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
  if (socket == nullptr) return Error::from_errno("open", "a generic netlink socket", errno);
  Ethtool ethtool(socket);
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) != 0) {
    return Error::from_errno("bind", "a generic netlink socket", errno);
  }
  TRY(ethtool.find_family());
  return ethtool;
}

Status Ethtool::find_family() {
  RtnlRequest request(GENL_ID_CTRL, 0);
  auto* generic = request.family_header<genlmsghdr>();
  generic->cmd = CTRL_CMD_GETFAMILY;
  generic->version = 1;
  request.put_string(CTRL_ATTR_FAMILY_NAME, ETHTOOL_GENL_NAME);
  TRY(query(request, "interfaces by ethtool netlink", [&](const nlmsghdr* answer) {
    for_each_attribute(answer, sizeof(genlmsghdr), [&](const nlattr* attribute) {
      const uint16_t type = mnl_attr_get_type(attribute);
      if (type == CTRL_ATTR_FAMILY_ID) family_ = number<uint16_t>(attribute).value_or(0);
      if (type == CTRL_ATTR_MCAST_GROUPS) monitor_group_ = monitor_group_in(attribute);
    });
    return true;
  }));
  if (family_ == 0 || monitor_group_ == 0) {
    return Error::from_errno(kAction, "interfaces by ethtool netlink", ENOENT);
  }
  return {};
}

Result<Media> Ethtool::media(int ifindex) {
  RtnlRequest request(family_, 0);
  auto* generic = request.family_header<genlmsghdr>();
  generic->cmd = ETHTOOL_MSG_LINKMODES_GET;
  generic->version = ETHTOOL_GENL_VERSION;
  nlattr* nest = request.begin_nest(ETHTOOL_A_LINKMODES_HEADER);
  request.put_u32(ETHTOOL_A_HEADER_DEV_INDEX, static_cast<uint32_t>(ifindex));
  request.put_u32(ETHTOOL_A_HEADER_FLAGS, ETHTOOL_FLAG_COMPACT_BITSETS);
  request.end_nest(nest);
  Media media;
  const Status status = query(request, "interface " + std::to_string(ifindex), [&](const nlmsghdr* answer) {
    const auto message = parse_media(answer);
    if (message && message->ifindex == ifindex) media = message->media;
    return true;
  });
  if (status.is_ok() || status.error().code() == EOPNOTSUPP) return media;
  return status.error();
}

Status Ethtool::query(RtnlRequest& request, const std::string& object, const Rtnl::Visitor& visit) {
  nlmsghdr* sent = request.header();
  sent->nlmsg_flags |= NLM_F_ACK;
  sent->nlmsg_seq = ++sequence_;
  if (retry_on_eintr([&] { return mnl_socket_sendto(socket_.get(), sent, sent->nlmsg_len); }) < 0) {
    return Error::from_errno(kAction, object, errno);
  }
  alignas(nlmsghdr) static thread_local char buffer[kReceiveSize];
  for (;;) {
    const ssize_t n = retry_on_eintr([&] { return mnl_socket_recvfrom(socket_.get(), buffer, sizeof buffer); });
    if (n < 0) return Error::from_errno(kAction, object, errno);
    int left = static_cast<int>(n);
    for (const auto* header = reinterpret_cast<const nlmsghdr*>(buffer); mnl_nlmsg_ok(header, left);
         header = mnl_nlmsg_next(header, &left)) {
      if (!mnl_nlmsg_seq_ok(header, sequence_)) continue;
      if (header->nlmsg_type != NLMSG_ERROR) {
        if (header->nlmsg_len >= NLMSG_LENGTH(sizeof(genlmsghdr))) visit(header);
        continue;
      }
      if (header->nlmsg_len < NLMSG_LENGTH(sizeof(nlmsgerr))) return Error::from_errno(kAction, object, EBADMSG);
      const int error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header))->error;
      if (error != 0) return Error::from_errno(kAction, object, -error);
      return {};
    }
  }
}

}  // namespace tapferry
