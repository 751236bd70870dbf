// SPDX-License-Identifier: MIT
#include "net/netdevice.h"

#include <cerrno>
#include <cstring>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/syscall.h"
#include "net/netdevice_flags.h"
#include "net/netdevice_ioctl.h"

namespace tapferry {
namespace {

constexpr const char* kNoMetric = "Linux has metrics of routes, not of interfaces";
constexpr const char* kNoPrivateFlags = "Linux has no private flags";

std::string of_interface(std::string_view what, std::string_view name) {
  return std::string(what) + " of " + std::string(name);
}

std::string ifname_in(const ifreq& request) { return {request.ifr_name, strnlen(request.ifr_name, IFNAMSIZ)}; }

}  // namespace

Error netdevice_error(std::string_view action, std::string_view object, int code) {
  Error error = Error::from_errno(action, object, code);
  if (code != EPERM) return error;
  return std::move(error).with_hint("needs CAP_NET_ADMIN over this network namespace, as root has it: try sudo");
}

Result<ifreq> request_for_label(const std::string& label) {
  ifreq request = {};
  // With its terminating zero. What doesn't fit is no interface's name; it must not be cut to one.
  if (label.empty() || label.size() >= sizeof request.ifr_name || label.find('\0') != std::string::npos) {
    return Error::from_errno("find interface", label, ENODEV);
  }
  memcpy(request.ifr_name, label.data(), label.size());
  return request;
}

Result<ifreq> request_for(const std::string& name) {
  if (name.find(':') != std::string::npos) return Error::from_errno("find interface", name, EINVAL);
  return request_for_label(name);
}

bool is_valid_ifname(std::string_view name) {
  if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == "..") return false;
  // isspace() of the kernel's lib/ctype.c counts 0xa0 too.
  return name.find_first_of(std::string_view("/: \t\n\v\f\r\xa0\0", 10)) == std::string_view::npos;
}

Result<Netdevice> Netdevice::open() {
  // Any socket does for most of them, those about IPv4 addresses want this one.
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Error::from_errno("open", "an IPv4 socket", errno);
  return Netdevice(Fd(fd));
}

Status Netdevice::call(unsigned long operation, ifreq* request, std::string_view action,
                       const std::string& object) const {
  if (retry_on_eintr([&] { return ioctl(socket_.get(), operation, request); }) == 0) return {};
  return netdevice_error(action, object, errno);
}

Result<int> Netdevice::read_number(unsigned long operation, const std::string& name, std::string_view what) const {
  ifreq request = TRY(request_for(name));
  TRY(call(operation, &request, "read", of_interface(what, name)));
  // Metric, MTU, queue length and index are the same int of the union.
  return request.ifr_ifindex;
}

Status Netdevice::write_number(unsigned long operation, const std::string& name, std::string_view what,
                               int value) const {
  ifreq request = TRY(request_for(name));
  request.ifr_ifindex = value;
  return call(operation, &request, "set", of_interface(what, name) + " to " + std::to_string(value));
}

// --- names

Result<int> Netdevice::index_of(const std::string& name) const {
  ifreq request = TRY(request_for(name));
  TRY(call(SIOCGIFINDEX, &request, "find interface", name));
  return request.ifr_ifindex;
}

Result<std::string> Netdevice::name_of(int index) const {
  ifreq request = {};
  request.ifr_ifindex = index;
  TRY(call(SIOCGIFNAME, &request, "find interface", std::to_string(index)));
  return ifname_in(request);
}

Result<std::string> Netdevice::rename(const std::string& name, const std::string& new_name) const {
  const std::string object = name + " to " + new_name;
  if (!is_valid_ifname(new_name)) return Error::from_errno("rename", object, EINVAL).with_detail("no interface's name");
  const int index = TRY(index_of(name));
  const unsigned flags_now = TRY(flags(name));
  if (flags_now & IFF_UP) {
    return Error::from_errno("rename", object, EBUSY)
        .with_detail("the interface is up")
        .with_hint("take it down first");
  }
  ifreq request = TRY(request_for(name));
  memcpy(request.ifr_newname, new_name.data(), new_name.size());
  TRY(call(SIOCSIFNAME, &request, "rename", object));
  return name_of(index);
}

// --- flags

Result<unsigned> Netdevice::flags(const std::string& name) const {
  ifreq request = TRY(request_for(name));
  TRY(call(SIOCGIFFLAGS, &request, "read", of_interface("the flags", name)));
  return static_cast<unsigned short>(request.ifr_flags);
}

Status Netdevice::change_flags(const std::string& name, unsigned mask, unsigned value) const {
  const std::string object = of_interface("the flags", name);
  if (mask & ~changeable_interface_flags()) {
    return Error::from_errno("change", object, EOPNOTSUPP).with_detail("the kernel alone sets some of these");
  }
  const unsigned before = TRY(flags(name));
  ifreq request = TRY(request_for(name));
  request.ifr_flags = static_cast<short>((before & ~mask) | (value & mask));
  TRY(call(SIOCSIFFLAGS, &request, "change", object));
  const unsigned after = TRY(flags(name));
  if ((after & mask) != (value & mask)) return Error("change", object, "the kernel left them as they were");
  return {};
}

Result<std::optional<unsigned>> Netdevice::private_flags(const std::string& name) const {
  // EINVAL alone could also mean the interface.
  (void)TRY(index_of(name));
  ifreq request = TRY(request_for(name));
  const auto done = call(SIOCGIFPFLAGS, &request, "read", of_interface("the private flags", name));
  if (done.is_ok()) return std::optional<unsigned>(static_cast<unsigned short>(request.ifr_flags));
  if (done.error().code() == EINVAL || done.error().code() == ENOTTY) return std::optional<unsigned>();
  return done.error();
}

Status Netdevice::set_private_flags(const std::string& name, unsigned flags) const {
  (void)TRY(index_of(name));
  ifreq request = TRY(request_for(name));
  request.ifr_flags = static_cast<short>(flags);
  Status done = call(SIOCSIFPFLAGS, &request, "set", of_interface("the private flags", name));
  if (done.is_ok() || done.error().code() == EPERM) return done;
  return std::move(done).error().with_hint(kNoPrivateFlags);
}

// --- numbers and the map

Result<int> Netdevice::metric(const std::string& name) const { return read_number(SIOCGIFMETRIC, name, "the metric"); }

Status Netdevice::set_metric(const std::string& name, int metric) const {
  Status done = write_number(SIOCSIFMETRIC, name, "the metric", metric);
  if (done.is_ok() || done.error().code() != EOPNOTSUPP) return done;
  return std::move(done).error().with_hint(kNoMetric);
}

Result<int> Netdevice::mtu(const std::string& name) const { return read_number(SIOCGIFMTU, name, "the MTU"); }

Status Netdevice::set_mtu(const std::string& name, int bytes) const {
  return write_number(SIOCSIFMTU, name, "the MTU", bytes);
}

Result<int> Netdevice::tx_queue_len(const std::string& name) const {
  return read_number(SIOCGIFTXQLEN, name, "the transmit queue length");
}

Status Netdevice::set_tx_queue_len(const std::string& name, int frames) const {
  return write_number(SIOCSIFTXQLEN, name, "the transmit queue length", frames);
}

Result<HardwareMap> Netdevice::map(const std::string& name) const {
  ifreq request = TRY(request_for(name));
  TRY(call(SIOCGIFMAP, &request, "read", of_interface("the map", name)));
  const ifmap& map = request.ifr_map;
  return HardwareMap{.mem_start = map.mem_start,
                     .mem_end = map.mem_end,
                     .base_addr = map.base_addr,
                     .irq = map.irq,
                     .dma = map.dma,
                     .port = map.port};
}

Status Netdevice::set_map(const std::string& name, const HardwareMap& map) const {
  ifreq request = TRY(request_for(name));
  request.ifr_map.mem_start = map.mem_start;
  request.ifr_map.mem_end = map.mem_end;
  request.ifr_map.base_addr = map.base_addr;
  request.ifr_map.irq = map.irq;
  request.ifr_map.dma = map.dma;
  request.ifr_map.port = map.port;
  Status done = call(SIOCSIFMAP, &request, "set", of_interface("the map", name));
  if (done.is_ok() || done.error().code() != EOPNOTSUPP) return done;
  return std::move(done).error().with_hint("this interface's driver takes none");
}

}  // namespace tapferry
