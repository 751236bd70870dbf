// SPDX-License-Identifier: MIT
#include "net/macvtap_claim.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/syscall.h"
#include "net/macvtap.h"
#include "net/tun.h"

namespace tapferry {
namespace {

// MAX_TAP_QUEUES in include/linux/if_tap.h, the same from Linux 4.1 to 6.18. Should it change, a claim fails, which is safe.
constexpr size_t kAllQueues = 256;
// Queues that are closed at once.
constexpr size_t kClosers = 64;
// Of an attribute in sysfs (PAGE_SIZE).
constexpr size_t kMaxAttribute = 4096;

// A sysfs that shows the network namespace of this process, mounted nowhere.
Result<Fd> mount_sysfs() {
  const Fd context(fsopen("sysfs", FSOPEN_CLOEXEC));
  if (!context.is_open() || fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return Error::from_errno("mount", "sysfs", errno);
  }
  const int fd = fsmount(context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY);
  if (fd < 0) return Error::from_errno("mount", "sysfs", errno);
  return Fd(fd);
}

Result<std::string> read_attribute(int sysfs, const std::string& name) {
  const std::string path = "class/net/" + name;
  const Fd file = TRY(open_file_at(sysfs, path, O_RDONLY, "/sys/" + path));
  std::string text = TRY(read_all(file.get(), kMaxAttribute, "/sys/" + path));
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

// An interface of that name, with this number, address and tag, is this interface.
Status check_is_same(int sysfs, const Link& link) {
  const std::pair<const char*, std::string> expected[] = {
      {"ifindex", std::to_string(link.index)}, {"address", to_string(link.mac)}, {"ifalias", link.alias}};
  for (const auto& [attribute, value] : expected) {
    const auto found = read_attribute(sysfs, link.name + "/" + attribute);
    if (!found.is_ok() && found.error().code() != ENOENT) return found.error();
    if (found.is_ok() && found.value() == value) continue;
    return Error("find the device of", link.name, "/sys shows another network namespace")
        .with_hint("mount this one's there, as `ip netns exec' does");
  }
  return {};
}

Result<dev_t> parse_device(const std::string& text, const Link& link) {
  const size_t colon = text.find(':');
  if (colon != std::string::npos) {
    const auto major_number = parse_uint(std::string_view(text).substr(0, colon), 1, UINT32_MAX);
    const auto minor_number = parse_uint(std::string_view(text).substr(colon + 1), 0, UINT32_MAX);
    if (major_number && minor_number) {
      return makedev(static_cast<unsigned>(*major_number), static_cast<unsigned>(*minor_number));
    }
  }
  return Error("find the device of", link.name, "`" + text + "' is no device number");
}

// That the queue which was opened is this interface's: by name and address, since another namespace may have the name.
Status check_queue(int fd, const Link& macvtap) {
  const TapQueue queue = TRY(describe_tap_queue(fd));
  const Mac mac = TRY(queue_mac(fd));
  if (queue.ifname == macvtap.name && mac == macvtap.mac) return {};
  return Error("open", macvtap.name, "its device number is another interface's now");
}

void switch_off(int fd) {
  ifreq request = {};
  request.ifr_flags = IFF_DETACH_QUEUE;
  (void)ioctl(fd, TUNSETQUEUE, &request);
}

void raise_descriptor_limit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = kAllQueues + 64;
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

Result<dev_t> macvtap_device(const Link& macvtap) {
  Result<Fd> sysfs = mount_sysfs();
  if (!sysfs.is_ok()) sysfs = open_file("/sys", O_PATH | O_DIRECTORY);
  if (!sysfs.is_ok()) return sysfs.error();
  const int fd = sysfs.value().get();
  TRY(check_is_same(fd, macvtap));
  // macvtap_device_event() in drivers/net/macvtap.c names it so, whatever the node in /dev is called.
  const std::string text = TRY(read_attribute(fd, macvtap.name + "/tap" + std::to_string(macvtap.index) + "/dev"));
  return parse_device(text, macvtap);
}

Result<MacvtapClaim> MacvtapClaim::take(const Link& macvtap, const std::string& node) {
  raise_descriptor_limit();
  MacvtapClaim claim;
  for (;;) {
    auto queue = open_file(node, O_RDWR | O_NONBLOCK);
    if (!queue.is_ok()) {
      if (queue.error().code() == EBUSY) return claim;
      return Error::from_errno("open", macvtap.name, queue.error().code());
    }
    switch_off(queue.value().get());
    claim.queues_.push_back(std::move(queue).value());
    if (claim.queues_.size() == 1) TRY(check_queue(claim.queues_[0].get(), macvtap));
    if (claim.queues_.size() > kAllQueues) {
      return Error("open", macvtap.name, "this kernel allows it more than 256 queues");
    }
  }
}

size_t MacvtapClaim::held_by_others() const { return kAllQueues - queues_.size(); }

// Each close waits for an RCU grace period, some 10 ms (tap_put_queue()): one after the other that would be seconds.
MacvtapClaim::~MacvtapClaim() {
  const auto close_one = [](void* queue) -> void* {
    static_cast<Fd*>(queue)->reset();
    return nullptr;
  };
  for (size_t begin = 0; begin < queues_.size(); begin += kClosers) {
    std::vector<pthread_t> threads;
    const size_t end = std::min(begin + kClosers, queues_.size());
    for (size_t i = begin; i < end; ++i) {
      pthread_t thread;
      if (pthread_create(&thread, nullptr, close_one, &queues_[i]) == 0) threads.push_back(thread);
      else
        queues_[i].reset();
    }
    for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  }
}

}  // namespace tapferry
