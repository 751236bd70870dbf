// SPDX-License-Identifier: MIT
#include "net/tun.h"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include "base/syscall.h"

namespace tapferry {
namespace {

Result<ifreq> request_for(const std::string& name) {
  ifreq request = {};
  // The name and its terminating zero: a longer one would be cut to another interface's name without a word.
  if (name.size() >= sizeof request.ifr_name) return Error::from_errno("name", name, ENAMETOOLONG);
  memcpy(request.ifr_name, name.data(), name.size());
  return request;
}

short ioctl_flags(TapFlags flags) {
  int bits = IFF_TAP | IFF_NO_PI;
  if (flags.multi_queue) bits |= IFF_MULTI_QUEUE;
  if (flags.vnet_hdr) bits |= IFF_VNET_HDR;
  return static_cast<short>(bits);
}

template <typename Argument>
int tun_ioctl(int fd, unsigned long operation, Argument argument) {
  return retry_on_eintr([&] { return ioctl(fd, operation, argument); });
}

}  // namespace

Result<std::string> create_tap(int fd, const std::string& name, TapFlags flags) {
  ifreq request = TRY(request_for(name));
  request.ifr_flags = static_cast<short>(ioctl_flags(flags) | IFF_TUN_EXCL);
  if (tun_ioctl(fd, TUNSETIFF, &request) != 0) return Error::from_errno("create tap", name, errno);
  request.ifr_name[sizeof request.ifr_name - 1] = '\0';
  return std::string(request.ifr_name);
}

Status attach_tap(int fd, const std::string& name, TapFlags flags) {
  ifreq request = TRY(request_for(name));
  request.ifr_flags = ioctl_flags(flags);
  if (tun_ioctl(fd, TUNSETIFF, &request) != 0) return Error::from_errno("attach to tap", name, errno);
  return {};
}

Status set_tap_owner(int fd, uint32_t uid) {
  if (tun_ioctl(fd, TUNSETOWNER, static_cast<unsigned long>(uid)) != 0) {
    return Error::from_errno("give the tap to", "uid " + std::to_string(uid), errno);
  }
  return {};
}

Status set_vnet_hdr_sz(int fd, unsigned bytes) {
  int size = static_cast<int>(bytes);
  if (tun_ioctl(fd, TUNSETVNETHDRSZ, &size) != 0) {
    return Error::from_errno("set the vnet header to", std::to_string(bytes) + " bytes", errno);
  }
  return {};
}

Status set_tap_persistent(int fd, bool on) {
  if (tun_ioctl(fd, TUNSETPERSIST, on ? 1ul : 0ul) != 0) {
    return Error::from_errno(on ? "keep" : "stop keeping", "the tap", errno);
  }
  return {};
}

Result<TapQueue> describe_tap_queue(int fd) {
  ifreq request = {};
  if (tun_ioctl(fd, TUNGETIFF, &request) != 0) {
    return Error::from_errno("read the interface of", "descriptor " + std::to_string(fd), errno);
  }
  TapQueue queue;
  queue.ifname.assign(request.ifr_name, strnlen(request.ifr_name, sizeof request.ifr_name));
  queue.flags = static_cast<unsigned short>(request.ifr_flags);
  if (queue.flags & IFF_VNET_HDR) {
    int size = 0;
    if (tun_ioctl(fd, TUNGETVNETHDRSZ, &size) != 0) {
      return Error::from_errno("read the vnet header's size of", queue.ifname, errno);
    }
    queue.vnet_hdr_sz = static_cast<unsigned>(size);
  }
  return queue;
}

bool accepts_offloads(int fd, unsigned tun_f_flags) {
  return tun_ioctl(fd, TUNSETOFFLOAD, static_cast<unsigned long>(tun_f_flags)) == 0;
}

std::string fresh_interface_name(std::string_view prefix, unsigned attempt) {
  timespec now = {};
  clock_gettime(CLOCK_BOOTTIME, &now);
  const uint64_t ms = static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
  return std::string(prefix) + std::to_string((ms + attempt) % 1000000000);
}

}  // namespace tapferry
