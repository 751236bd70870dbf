// SPDX-License-Identifier: MIT
//
// /dev/net/tun, which every tap needs, and /dev/vhost-net, which a rule with vhost=on promises.

#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/parse.h"
#include "base/syscall.h"
#include "tools/doctor.h"
#include "tools/doctor_command.h"
#include "tools/doctor_privilege.h"

namespace tapferry {
namespace {

constexpr const char* kTunNode = "/dev/net/tun";
constexpr const char* kTunObject = "device /dev/net/tun";
constexpr const char* kVhostNode = "/dev/vhost-net";
// TUN_MINOR of include/linux/miscdevice.h and its major number.
const dev_t kTunDevice = makedev(10, 200);

// The driver is there, built in or loaded: /proc/misc lists it.
bool is_tun_loaded() {
  std::ifstream misc("/proc/misc");
  for (std::string line; std::getline(misc, line);) {
    const auto words = split_words(line);
    if (words.size() == 2 && words[1] == "tun") return true;
  }
  return false;
}

// As udev makes it.
std::string make_node() {
  return as_root("install -d /dev/net") + " && " + as_root("mknod -m 0666 /dev/net/tun c 10 200");
}

// The helper opens it as the caller, and as root only where that is forbidden.
Finding closed(const Patient& patient, mode_t mode) {
  char octal[8];
  snprintf(octal, sizeof octal, "%04o", mode & 07777u);
  const std::string what = "its mode is " + std::string(octal) + ", so that only root may open it";
  const std::string command = as_root(std::string("chmod 0666 ") + kTunNode);
  const std::string lasting = "as Debian's udev has it; without privilege it makes no tap";
  if (power_of(patient.helper).has(CAP_DAC_OVERRIDE)) {
    return {finding::kTunMode, kTunObject,
            what + ": the helper does so, but users can't attach to taps of their own by themselves", command, lasting};
  }
  return {finding::kTunClosed, kTunObject, what + ", and the helper's file capabilities lack cap_dac_override", command,
          lasting};
}

void look_at_tun(const Patient& patient, Diagnosis* diagnosis) {
  struct stat status = {};
  if (stat(kTunNode, &status) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) return;
    diagnosis->findings.push_back({finding::kTunMissing, kTunObject, "it doesn't exist, so no tap can be made",
                                   is_tun_loaded() ? make_node() : as_root("modprobe tun"), ""});
    return;
  }
  if (!S_ISCHR(status.st_mode) || status.st_rdev != kTunDevice) {
    diagnosis->findings.push_back({finding::kTunNoDevice, kTunObject,
                                   "it is not the tun device (a character device, 10:200)",
                                   as_root(std::string("rm ") + kTunNode) + " && " + make_node(), ""});
    return;
  }
  const auto opened = open_file(kTunNode, O_RDWR);
  if (!opened.is_ok() && opened.error().code() == EACCES) {
    diagnosis->findings.push_back(closed(patient, status.st_mode));
  } else if (!opened.is_ok()) {
    const int code = opened.error().code();
    if (code != ENODEV && code != ENXIO) return;
    diagnosis->findings.push_back(
        {finding::kTunNoDriver, kTunObject, "the kernel has no driver for it", as_root("modprobe tun"), ""});
  }
}

void look_at_vhost(const Patient& patient, Diagnosis* diagnosis) {
  if (patient.policy == nullptr) return;
  for (const ListedRule& rule : patient.policy->rules) {
    if (!is_relevant(patient, rule) || !rule.has("vhost=on")) continue;
    const auto opened = open_file(kVhostNode, O_RDWR | O_NONBLOCK);
    if (opened.is_ok()) return;
    const int code = opened.error().code();
    if (code != ENOENT && code != ENODEV && code != ENXIO) return;
    diagnosis->findings.push_back({finding::kVhostNet, std::string("device ") + kVhostNode,
                                   "it isn't there, so vhost=on is refused, which " + rule.label + " allows",
                                   as_root("modprobe vhost_net"),
                                   "until the next boot; for good: a line in /etc/modules. vhost=auto does without"});
    return;
  }
}

}  // namespace

Status check_tun(const Patient& patient, Diagnosis* diagnosis) {
  look_at_tun(patient, diagnosis);
  look_at_vhost(patient, diagnosis);
  return {};
}

}  // namespace tapferry
