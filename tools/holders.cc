// SPDX-License-Identifier: MIT
#include "tools/holders.h"

#include <algorithm>
#include <fcntl.h>
#include <set>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/parse.h"
#include "base/syscall.h"
#include "net/process_fds.h"

namespace tapferry {
namespace {

// /dev/net/tun (Documentation/admin-guide/devices.txt).
const dev_t kTunDevice = makedev(10, 200);
constexpr size_t kMaxProcFile = 65536;

std::string read_proc(const std::string& path) {
  const auto file = open_file(path, O_RDONLY);
  if (!file.is_ok()) return "";
  auto text = read_all(file.value().get(), kMaxProcFile, path);
  return text.is_ok() ? std::move(text).value() : "";
}

// The real uid of proc_pid_status(5).
std::optional<uint32_t> uid_of_status(std::string_view text) {
  for (std::string_view line : split(text, '\n')) {
    if (!consume_prefix(&line, "Uid:")) continue;
    const auto words = split_words(line);
    const auto uid = words.empty() ? std::nullopt : parse_uint(words[0], 0, UINT32_MAX);
    if (uid) return static_cast<uint32_t>(*uid);
  }
  return std::nullopt;
}

std::optional<ino_t> network_namespace(const std::string& process) {
  struct stat status = {};
  if (stat((process + "/ns/net").c_str(), &status) != 0) return std::nullopt;
  return status.st_ino;
}

// Processes come one after the other, so what is known of one is asked once.
class HolderScan {
 public:
  explicit HolderScan(const std::string& proc) : proc_(proc), own_namespace_(network_namespace(proc + "/self")) {}

  void visit(const DeviceFd& fd) {
    if (fd.device == kTunDevice) {
      const std::string process = proc_ + "/" + std::to_string(fd.pid);
      const std::string name = tap_name_of_fdinfo(read_proc(process + "/fdinfo/" + fd.number));
      if (!name.empty()) count(fd.pid, &found_.taps[name]);
    } else if (is_perhaps_macvtap(fd.device) && is_new(fd)) {
      count(fd.pid, &found_.macvtaps[fd.device]);
    }
  }

  Holders take(bool is_complete) {
    found_.is_complete = is_complete;
    return std::move(found_);
  }

 private:
  // Their numbers are allocated dynamically (alloc_chrdev_region() in drivers/net/macvtap.c): from 234 to 254 and from 384 on.
  static bool is_perhaps_macvtap(dev_t device) { return major(device) >= 234; }

  // A queue that was inherited or duplicated is the same node; each queue that the helper opened has a node of its own.
  bool is_new(const DeviceFd& fd) {
    if (fd.pid != seen_pid_) seen_.clear();
    seen_pid_ = fd.pid;
    return seen_.insert({fd.device, fd.inode}).second;
  }

  void count(int pid, std::vector<HolderProcess>* holders) {
    if (holders->empty() || holders->back().pid != pid) holders->push_back(describe(pid));
    ++holders->back().queues;
  }

  HolderProcess describe(int pid) {
    if (described_.pid == pid) return described_;
    const std::string process = proc_ + "/" + std::to_string(pid);
    described_ = {};
    described_.pid = pid;
    described_.name = read_proc(process + "/comm");
    if (described_.name.ends_with('\n')) described_.name.pop_back();
    described_.uid = uid_of_status(read_proc(process + "/status"));
    described_.is_in_our_netns = own_namespace_ && network_namespace(process) == own_namespace_;
    return described_;
  }

  const std::string& proc_;
  std::optional<ino_t> own_namespace_;
  Holders found_;
  HolderProcess described_;
  int seen_pid_ = 0;
  std::set<std::pair<dev_t, ino_t>> seen_;
};

}  // namespace

std::string tap_name_of_fdinfo(std::string_view text) {
  for (std::string_view line : split(text, '\n')) {
    if (consume_prefix(&line, "iff:\t")) return std::string(line);
  }
  return "";
}

Holders find_holders(const std::string& proc) {
  HolderScan scan(proc);
  const bool is_complete = for_each_device_fd(proc, [&](const DeviceFd& fd) { scan.visit(fd); });
  return scan.take(is_complete && is_initial_pid_namespace(proc));
}

std::vector<HolderProcess> Holders::of_tap(const std::string& name, uint32_t owner) const {
  const auto at = taps.find(name);
  if (at == taps.end()) return {};
  std::vector<HolderProcess> here;
  std::vector<HolderProcess> elsewhere;
  for (const HolderProcess& holder : at->second) {
    if (holder.is_in_our_netns) here.push_back(holder);
    if (!holder.is_in_our_netns && holder.uid == owner) elsewhere.push_back(holder);
  }
  return here.empty() ? elsewhere : here;
}

std::vector<HolderProcess> Holders::of_macvtap(dev_t device) const {
  const auto at = macvtaps.find(device);
  return at == macvtaps.end() ? std::vector<HolderProcess>() : at->second;
}

}  // namespace tapferry
