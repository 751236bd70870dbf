// SPDX-License-Identifier: MIT
//
// The media of an interface, speed and duplex, by ethtool's netlink (Documentation/networking/ethtool-netlink.rst).
// Reading it and hearing of its changes needs no privilege.
#pragma once

#include <cstdint>
#include <libmnl/libmnl.h>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "net/rtnl.h"

namespace tapferry {

enum class Duplex { kHalf, kFull };

// What is empty isn't known: the driver doesn't say, or there is no link.
struct Media {
  std::optional<uint32_t> speed_mbit;  // Mbit/s
  std::optional<Duplex> duplex;

  bool operator==(const Media&) const = default;
};

struct MediaMessage {
  int ifindex = 0;
  Media media;
};
// Of an answer to ETHTOOL_MSG_LINKMODES_GET, or of the notification (LINKMODES_NTF); nothing for another command, or a
// malformed message.
std::optional<MediaMessage> parse_media(const nlmsghdr* header);

class Ethtool {
 public:
  // The error's code is ENOENT where the kernel has no ethtool netlink (before 5.6, or without ETHTOOL_NETLINK).
  static Result<Ethtool> open();

  // All unknown for an interface without media (EOPNOTSUPP). The error's code is ENODEV for one that is gone; drivers have
  // more of their own.
  Result<Media> media(int ifindex);

  // The group of generic netlink that tells of changes which ethtool(8) makes (RtnlEvents::open_generic()). It doesn't tell
  // of a link that came up with another speed: ask again when the carrier changes.
  uint32_t monitor_group() const { return monitor_group_; }

 private:
  struct Close {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
  };
  explicit Ethtool(mnl_socket* socket) : socket_(socket) {}
  Status find_family();
  Status query(RtnlRequest& request, const std::string& object, const Rtnl::Visitor& visit);

  std::unique_ptr<mnl_socket, Close> socket_;
  uint32_t sequence_ = 0;
  uint16_t family_ = 0;
  uint32_t monitor_group_ = 0;
};

}  // namespace tapferry
