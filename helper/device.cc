// SPDX-License-Identifier: MIT
#include "helper/device.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/parse.h"
#include "base/syscall.h"
#include "net/macvtap.h"

namespace tapferry {
namespace {

constexpr const char* kAction = "open device";
constexpr size_t kMaxAttribute = 4096;
// More character drivers than any kernel has.
constexpr size_t kMaxProcDevices = 64 * 1024;
// /dev/net/tun (Documentation/admin-guide/devices.txt), which people try here.
constexpr unsigned kTunMajor = 10;
constexpr unsigned kTunMinor = 200;

std::string class_path(const std::string& name) { return "/sys/class/net/" + name; }

// One line of sysfs, without its newline.
Result<std::string> read_attribute(const std::string& path) {
  const Fd file = TRY(open_file(path, O_RDONLY));
  const std::string text = TRY(read_all(file.get(), kMaxAttribute, path));
  return text.substr(0, text.find('\n'));
}

// "246:1"
std::optional<dev_t> parse_number(std::string_view text) {
  const auto parts = split(text, ':');
  if (parts.size() != 2) return std::nullopt;
  const auto major_number = parse_uint(parts[0], 0, 4095);
  const auto minor_number = parse_uint(parts[1], 0, 1048575);
  if (!major_number || !minor_number) return std::nullopt;
  return makedev(static_cast<unsigned>(*major_number), static_cast<unsigned>(*minor_number));
}

Result<dev_t> number_of(const Link& link) {
  const std::string path = class_path(link.name) + "/tap" + std::to_string(link.index) + "/dev";
  const Result<std::string> text = read_attribute(path);
  const auto number = text.is_ok() ? parse_number(text.value()) : std::nullopt;
  if (number) return *number;
  return Error(kAction, link.name, "its number isn't in " + path)
      .with_hint("is /sys a sysfs of this network namespace? `mount -t sysfs sysfs /sys' there");
}

std::string what_it_is(const struct stat& status) {
  if (S_ISREG(status.st_mode)) return "a regular file";
  if (S_ISDIR(status.st_mode)) return "a directory";
  if (S_ISLNK(status.st_mode)) return "a symbolic link, and those are not followed";
  if (S_ISFIFO(status.st_mode)) return "a fifo";
  if (S_ISSOCK(status.st_mode)) return "a socket";
  if (S_ISBLK(status.st_mode)) return "a block device";
  return "character device " + std::to_string(major(status.st_rdev)) + ":" + std::to_string(minor(status.st_rdev));
}

Result<dev_t> number_of_node(const std::string& path) {
  const Result<Fd> node = open_file(path, O_PATH | O_NOFOLLOW);
  if (!node.is_ok()) return Error::from_errno(kAction, path, node.error().code());
  struct stat status;
  if (fstat(node.value().get(), &status) != 0) return Error::from_errno(kAction, path, errno);
  if (S_ISCHR(status.st_mode) && status.st_rdev == makedev(kTunMajor, kTunMinor)) {
    return Error(kAction, path, "it makes taps, and is none itself").with_hint("ask for tap, or for tap=NAME");
  }
  // A number that can't be looked up is as good as one that no macvtap has.
  const Result<bool> is_tap = is_tap_device(status.st_rdev);
  if (S_ISCHR(status.st_mode) && (!is_tap.is_ok() || is_tap.value())) return status.st_rdev;
  return Error(kAction, path, "it is " + what_it_is(status) + ", not the character device of a macvtap");
}

Result<Device> find_by_path(Rtnl& rtnl, const std::string& path) {
  const dev_t wanted = TRY(number_of_node(path));
  std::optional<Link> found;
  for (const char* kind : {"macvtap", "ipvtap"}) {
    TRY(for_each_link(rtnl, kind, [&](const Link& link) {
      const Result<dev_t> number = number_of(link);
      if (number.is_ok() && number.value() == wanted) found = link;
    }));
  }
  if (found) return Device{*std::move(found), wanted};
  const std::string number = std::to_string(major(wanted)) + ":" + std::to_string(minor(wanted));
  return Error::from_errno(kAction, path, ENODEV)
      .with_reason("no macvtap of this network namespace has the character device " + number);
}

Result<Link> find_by_name_or_index(Rtnl& rtnl, const std::string& which) {
  if (const auto index = parse_uint(which, 1, INT32_MAX)) return get_link(rtnl, static_cast<int>(*index));
  Result<Link> link = get_link(rtnl, which);
  if (link.is_ok() || link.error().code() != ENODEV) return link;
  std::string_view digits = which;
  if (!consume_prefix(&digits, "tap")) return link;
  const auto index = parse_uint(digits, 1, INT32_MAX);
  return index ? get_link(rtnl, static_cast<int>(*index)) : std::move(link);
}

Error no_device(const Link& link) {
  if (link.kind == "tun") {
    return Error(kAction, link.name, "it is a tap").with_hint("ask for tap=" + link.name);
  }
  const std::string kind = link.kind.empty() ? "hardware, or the loopback" : "of kind " + link.kind;
  return Error(kAction, link.name, "it is " + kind + ", no macvtap");
}

}  // namespace

Result<Device> find_device(Rtnl& rtnl, const std::string& which) {
  if (which.starts_with('/')) return find_by_path(rtnl, which);
  const Link link = TRY(find_by_name_or_index(rtnl, which));
  if (!has_tap_device(link.kind)) return no_device(link);
  const dev_t number = TRY(number_of(link));
  return Device{link, number};
}

std::vector<std::string> names_of(Rtnl& rtnl, const Device& device) {
  const std::string index = std::to_string(device.link.index);
  std::vector<std::string> names = {index, "/dev/tap" + index};
  // An interface may be called 7, but device=7 is the one with that index.
  if (!parse_uint(device.link.name, 1, INT32_MAX)) names.push_back(device.link.name);
  const Result<Link> same = get_link(rtnl, "tap" + index);
  if (!same.is_ok() && same.error().code() == ENODEV) names.push_back("tap" + index);
  return names;
}

Result<bool> is_tap_device(dev_t device) {
  const Fd file = TRY(open_file("/proc/devices", O_RDONLY));
  const std::string text = TRY(read_all(file.get(), kMaxProcDevices, "/proc/devices"));
  for (const std::string_view line : split(text, '\n')) {
    if (line == "Block devices:") break;
    const auto words = split_words(line);
    if (words.size() == 2 && has_tap_device(std::string(words[1])) && parse_uint(words[0], 0, 4095) == major(device)) {
      return true;
    }
  }
  return false;
}

Status check_sysfs(const std::string& name, int index) {
  const Result<std::string> shown = read_attribute(class_path(name) + "/ifindex");
  if (shown.is_ok() && shown.value() == std::to_string(index)) return {};
  return Error("look for devices in", "/sys", "it shows another network namespace")
      .with_hint("`mount -t sysfs sysfs /sys' in this one, as `ip netns exec' does");
}

}  // namespace tapferry
