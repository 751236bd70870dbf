// SPDX-License-Identifier: MIT
//
// The ioctls of netdevice(7) about addresses, those of hardware and of protocols.
#include <cerrno>
#include <cstring>
#include <linux/ipv6.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/syscall.h"
#include "net/netdevice.h"
#include "net/netdevice_ioctl.h"

namespace tapferry {
namespace {

// Most hosts have fewer; where there are more it doubles, up to what a sane host won't reach (40 MiB).
constexpr size_t kFirstAddresses = 32;
constexpr size_t kMostAddresses = 1u << 20;

in_addr address_in(const ifreq& request) {
  sockaddr_in address;
  memcpy(&address, &request.ifr_addr, sizeof address);
  return address.sin_addr;
}

void put_address(ifreq* request, in_addr address) {
  sockaddr_in whole = {};
  whole.sin_family = AF_INET;
  whole.sin_addr = address;
  memcpy(&request->ifr_addr, &whole, sizeof whole);
}

std::string of_label(std::string_view what, std::string_view label) {
  return std::string(what) + " of " + std::string(label);
}

Status change_ipv6(unsigned long operation, int index, const in6_addr& address, unsigned prefix_len,
                   std::string_view action) {
  const std::string object = "an IPv6 address of interface " + std::to_string(index);
  const Fd socket_fd(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket_fd.is_open()) return Error::from_errno("open", "an IPv6 socket", errno);
  in6_ifreq request = {};
  request.ifr6_addr = address;
  request.ifr6_prefixlen = prefix_len;
  request.ifr6_ifindex = index;
  if (retry_on_eintr([&] { return ioctl(socket_fd.get(), operation, &request); }) == 0) return {};
  return netdevice_error(action, object, errno);
}

}  // namespace

HardwareBytes hardware_bytes(const Mac& mac) {
  HardwareBytes bytes{};
  memcpy(bytes.data(), mac.bytes.data(), mac.bytes.size());
  return bytes;
}

// --- hardware

Result<HardwareAddress> Netdevice::hardware_address(const std::string& name) const {
  ifreq request = TRY(request_for(name));
  TRY(call(SIOCGIFHWADDR, &request, "read", of_label("the hardware address", name)));
  HardwareAddress address;
  address.type = request.ifr_hwaddr.sa_family;
  memcpy(address.bytes.data(), request.ifr_hwaddr.sa_data, address.bytes.size());
  return address;
}

Status Netdevice::write_hardware(unsigned long operation, const std::string& name, std::string_view action,
                                 const HardwareAddress& address) const {
  ifreq request = TRY(request_for(name));
  request.ifr_hwaddr.sa_family = address.type;
  memcpy(request.ifr_hwaddr.sa_data, address.bytes.data(), address.bytes.size());
  return call(operation, &request, action, name);
}

Status Netdevice::set_hardware_address(const std::string& name, const HardwareAddress& address) const {
  return write_hardware(SIOCSIFHWADDR, name, "set the hardware address of", address);
}

Status Netdevice::set_hardware_broadcast(const std::string& name, const HardwareAddress& address) const {
  return write_hardware(SIOCSIFHWBROADCAST, name, "set the hardware broadcast address of", address);
}

// The kernel wants AF_UNSPEC in the place of the type: dev_ifsioc() in net/core/dev_ioctl.c.
Status Netdevice::add_multicast(const std::string& name, const HardwareBytes& address) const {
  return write_hardware(SIOCADDMULTI, name, "add a multicast address to", {AF_UNSPEC, address});
}

Status Netdevice::delete_multicast(const std::string& name, const HardwareBytes& address) const {
  return write_hardware(SIOCDELMULTI, name, "delete a multicast address from", {AF_UNSPEC, address});
}

// --- IPv4

Result<std::vector<LabelledAddress>> Netdevice::ipv4_addresses() const {
  std::vector<ifreq> buffer;
  ifconf request = {};
  for (size_t room = kFirstAddresses;; room *= 2) {
    if (room > kMostAddresses) return Error("list", "the IPv4 addresses", "there are too many");
    buffer.assign(room, ifreq{});
    request.ifc_len = static_cast<int>(room * sizeof(ifreq));
    request.ifc_req = buffer.data();
    if (retry_on_eintr([&] { return ioctl(socket_.get(), SIOCGIFCONF, &request); }) != 0) {
      return netdevice_error("list", "the IPv4 addresses", errno);
    }
    // Room for one more was left: so none was skipped.
    if (static_cast<size_t>(request.ifc_len) <= (room - 1) * sizeof(ifreq)) break;
  }
  buffer.resize(static_cast<size_t>(request.ifc_len) / sizeof(ifreq));
  std::vector<LabelledAddress> addresses;
  for (const ifreq& entry : buffer) {
    addresses.push_back({{entry.ifr_name, strnlen(entry.ifr_name, IFNAMSIZ)}, address_in(entry)});
  }
  return addresses;
}

Result<in_addr> Netdevice::read_ipv4(unsigned long operation, const std::string& label, std::string_view what,
                                     std::optional<in_addr> of) const {
  ifreq request = TRY(request_for_label(label));
  // An address in the request asks for that one of the label's (devinet_ioctl() in net/ipv4/devinet.c).
  if (of) put_address(&request, *of);
  TRY(call(operation, &request, "read", of_label(what, label)));
  return address_in(request);
}

Status Netdevice::write_ipv4(unsigned long operation, const std::string& label, std::string_view what,
                             in_addr address) const {
  ifreq request = TRY(request_for_label(label));
  put_address(&request, address);
  return call(operation, &request, "set", of_label(what, label));
}

Result<in_addr> Netdevice::ipv4_address(const std::string& label) const {
  return read_ipv4(SIOCGIFADDR, label, "the IPv4 address", {});
}

Result<in_addr> Netdevice::ipv4_netmask(const std::string& label, std::optional<in_addr> of) const {
  return read_ipv4(SIOCGIFNETMASK, label, "the netmask", of);
}

Result<in_addr> Netdevice::ipv4_broadcast(const std::string& label, std::optional<in_addr> of) const {
  return read_ipv4(SIOCGIFBRDADDR, label, "the IPv4 broadcast address", of);
}

Result<in_addr> Netdevice::ipv4_destination(const std::string& label, std::optional<in_addr> of) const {
  return read_ipv4(SIOCGIFDSTADDR, label, "the IPv4 destination address", of);
}

Status Netdevice::set_ipv4_address(const std::string& label, in_addr address) const {
  return write_ipv4(SIOCSIFADDR, label, "the IPv4 address", address);
}

Status Netdevice::set_ipv4_netmask(const std::string& label, in_addr mask) const {
  return write_ipv4(SIOCSIFNETMASK, label, "the netmask", mask);
}

Status Netdevice::set_ipv4_broadcast(const std::string& label, in_addr address) const {
  return write_ipv4(SIOCSIFBRDADDR, label, "the IPv4 broadcast address", address);
}

Status Netdevice::set_ipv4_destination(const std::string& label, in_addr address) const {
  return write_ipv4(SIOCSIFDSTADDR, label, "the IPv4 destination address", address);
}

// --- IPv6

Status Netdevice::add_ipv6_address(int index, const in6_addr& address, unsigned prefix_len) {
  return change_ipv6(SIOCSIFADDR, index, address, prefix_len, "add");
}

Status Netdevice::delete_ipv6_address(int index, const in6_addr& address, unsigned prefix_len) {
  return change_ipv6(SIOCDIFADDR, index, address, prefix_len, "delete");
}

}  // namespace tapferry
