// SPDX-License-Identifier: MIT
//
// netdevice(7) as one typed interface: every ioctl of that page. Reading needs nothing; changing needs CAP_NET_ADMIN over
// the network namespace of whoever opened the socket, and an error that is EPERM says so.
//
// An interface is given by its own name or by an altname of at most 15 bytes, since the kernel looks both up
// (netdev_name_node_lookup() in net/core/dev.c); name_of() gives its own. A name that doesn't fit is ENODEV and is never
// cut to another's. A colon, which the kernel would cut off with what follows (dev_ioctl() in net/core/dev_ioctl.c), is
// EINVAL, except in the labels of IPv4 addresses. The error's code is ENODEV where there is no such interface.
#pragma once

#include <array>
#include <cstdint>
#include <netinet/in.h>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "net/mac.h"

struct ifreq;

namespace tapferry {

// As sockaddr holds it: from byte 0, padded with zeros. How many bytes count depends on the type, and the ioctls don't say.
using HardwareBytes = std::array<uint8_t, 14>;

struct HardwareAddress {
  uint16_t type = 0;  // ARPHRD_* of <linux/if_arp.h>
  HardwareBytes bytes{};

  bool operator==(const HardwareAddress&) const = default;
};

HardwareBytes hardware_bytes(const Mac& mac);

// struct ifmap: what a card of the ISA bus has jumpers for. All zeros for any other.
struct HardwareMap {
  unsigned long mem_start = 0;
  unsigned long mem_end = 0;
  unsigned short base_addr = 0;
  unsigned char irq = 0;
  unsigned char dma = 0;
  unsigned char port = 0;

  bool operator==(const HardwareMap&) const = default;
};

// An IPv4 address under its label: the interface's name, or that with a colon and more behind it ("eth0:1").
struct LabelledAddress {
  std::string label;
  in_addr address{};

  // The name in front of the colon.
  std::string interface() const { return label.substr(0, label.find(':')); }
};

// Whether the kernel takes it as an interface's name: dev_valid_name() in net/core/dev.c.
bool is_valid_ifname(std::string_view name);

class Netdevice {
 public:
  static Result<Netdevice> open();

  // SIOCGIFINDEX, SIOCGIFNAME.
  Result<int> index_of(const std::string& name) const;
  Result<std::string> name_of(int index) const;
  // SIOCSIFNAME; returns the name that it has now, since a %d in `new_name` becomes a free number. EBUSY while it is up: the
  // page says so, but Linux does it from 6.2 on, and whoever has opened or filtered by the name would be left behind.
  Result<std::string> rename(const std::string& name, const std::string& new_name) const;

  // SIOCGIFFLAGS, SIOCSIFFLAGS: IFF_*, of which the ioctl has room for the lower 16 bits. The bits of `mask` become those
  // of `value`. The kernel leaves what can't be changed as it is, without a word: such a mask is refused (EOPNOTSUPP), and
  // what came out is read back.
  Result<unsigned> flags(const std::string& name) const;
  Status change_flags(const std::string& name, unsigned mask, unsigned value) const;
  // SIOCGIFPFLAGS, SIOCSIFPFLAGS. On the page, but in no Linux: EINVAL. nullopt says that.
  Result<std::optional<unsigned>> private_flags(const std::string& name) const;
  Status set_private_flags(const std::string& name, unsigned flags) const;

  // SIOCGIFMETRIC is always 0, SIOCSIFMETRIC always EOPNOTSUPP: on Linux routes have metrics.
  Result<int> metric(const std::string& name) const;
  Status set_metric(const std::string& name, int metric) const;
  // SIOCGIFMTU, SIOCSIFMTU: bytes.
  Result<int> mtu(const std::string& name) const;
  Status set_mtu(const std::string& name, int bytes) const;
  // SIOCGIFTXQLEN, SIOCSIFTXQLEN: frames.
  Result<int> tx_queue_len(const std::string& name) const;
  Status set_tx_queue_len(const std::string& name, int frames) const;
  // SIOCGIFMAP, SIOCSIFMAP; the latter is EOPNOTSUPP with nearly all drivers.
  Result<HardwareMap> map(const std::string& name) const;
  Status set_map(const std::string& name, const HardwareMap& map) const;

  // SIOCGIFHWADDR, SIOCSIFHWADDR, SIOCSIFHWBROADCAST. A type that isn't the interface's is EINVAL. There is no ioctl that
  // reads the broadcast address: see netdevice_detail.h.
  Result<HardwareAddress> hardware_address(const std::string& name) const;
  Status set_hardware_address(const std::string& name, const HardwareAddress& address) const;
  Status set_hardware_broadcast(const std::string& name, const HardwareAddress& address) const;
  // SIOCADDMULTI, SIOCDELMULTI. Adding twice is no error and counts once. ENOENT: it wasn't added so.
  Status add_multicast(const std::string& name, const HardwareBytes& address) const;
  Status delete_multicast(const std::string& name, const HardwareBytes& address) const;

  // SIOCGIFCONF: the IPv4 addresses of all interfaces. Where they don't fit the buffer the kernel skips the rest without a
  // word, so a buffer that comes back full is doubled and filled again.
  Result<std::vector<LabelledAddress>> ipv4_addresses() const;

  // SIOC[GS]IF{ADDR,NETMASK,BRDADDR,DSTADDR}. EADDRNOTAVAIL: the label has no address. With `of` the getters mean that one
  // of the label's addresses, otherwise its first; setters always mean the first. Two addresses under one label that
  // differ only in their masks can't be told apart.
  Result<in_addr> ipv4_address(const std::string& label) const;
  Result<in_addr> ipv4_netmask(const std::string& label, std::optional<in_addr> of = {}) const;
  Result<in_addr> ipv4_broadcast(const std::string& label, std::optional<in_addr> of = {}) const;
  Result<in_addr> ipv4_destination(const std::string& label, std::optional<in_addr> of = {}) const;
  // 0.0.0.0 takes the address away. Another one comes with the mask of its class, and the broadcast address of that.
  Status set_ipv4_address(const std::string& label, in_addr address) const;
  Status set_ipv4_netmask(const std::string& label, in_addr mask) const;
  Status set_ipv4_broadcast(const std::string& label, in_addr address) const;
  Status set_ipv4_destination(const std::string& label, in_addr address) const;

  // SIOCSIFADDR, SIOCDIFADDR with an in6_ifreq, on a socket of their own. EEXIST, EADDRNOTAVAIL. There is no ioctl that
  // lists them: see netdevice_proc.h.
  static Status add_ipv6_address(int index, const in6_addr& address, unsigned prefix_len);
  static Status delete_ipv6_address(int index, const in6_addr& address, unsigned prefix_len);

 private:
  explicit Netdevice(Fd socket) : socket_(std::move(socket)) {}
  Status call(unsigned long operation, ifreq* request, std::string_view action, const std::string& object) const;
  Result<int> read_number(unsigned long operation, const std::string& name, std::string_view what) const;
  Status write_number(unsigned long operation, const std::string& name, std::string_view what, int value) const;
  Status write_hardware(unsigned long operation, const std::string& name, std::string_view action,
                        const HardwareAddress& address) const;
  Result<in_addr> read_ipv4(unsigned long operation, const std::string& label, std::string_view what,
                            std::optional<in_addr> of) const;
  Status write_ipv4(unsigned long operation, const std::string& label, std::string_view what, in_addr address) const;

  Fd socket_;
};

}  // namespace tapferry
