// SPDX-License-Identifier: MIT
#include "helper/privileged_macvtap.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/xattr.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/syscall.h"
#include "helper/device.h"
#include "helper/privilege.h"
#include "helper/queue_node.h"
#include "helper/user_node.h"
#include "net/tag.h"

namespace tapferry {
namespace {

// Safe: NLM_F_EXCL makes the kernel refuse a name that exists; the policy allowed this parent and mode.
Status act(Rtnl& rtnl, const CreateMacvtap& op) {
  const std::string& name = op.macvtap.name;
  if (!is_new_interface_name(name) || name.find('%') != std::string::npos || op.macvtap.lower <= 0) {
    return Error::from_errno("create macvtap", name, EINVAL);
  }
  return create_macvtap(rtnl, op.macvtap);
}

// Safe: the macvtap is ours, on this very parent, and the policy allowed passthru, which gives the guest all of it.
Status act(Rtnl& rtnl, const BringParentUp& op) {
  const auto tag = parse_tag(op.macvtap.alias);
  if (op.macvtap.kind != "macvtap" || !tag || op.macvtap.lower != op.parent.index) {
    return Error::from_errno("bring up", op.parent.name, EPERM);
  }
  return set_up(rtnl, op.parent, true);
}

// Safe: one fixed path, in a directory that is root's. What was there before must be ours alone, or nothing is put into it.
Status act(Rtnl&, const MakeNodeDirectory&) {
  if (mkdir(kNodeDirectory, 0700) != 0 && errno != EEXIST) {
    return Error::from_errno("make the directory", kNodeDirectory, errno);
  }
  struct stat status;
  if (lstat(kNodeDirectory, &status) != 0) return Error::from_errno("look at", kNodeDirectory, errno);
  if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 07777) != 0700) {
    return Error("use", kNodeDirectory, "it isn't a directory of the user tapferry alone")
        .with_hint("remove it: it is made again when it is needed");
  }
  return {};
}

// Safe: in our own directory, 0600, and for a macvtap's number only: never a disk, whatever we are told.
Status act(Rtnl&, const MakeQueueNode& op) {
  if (!is_node_path(op.path)) return Error::from_errno("make the node", op.path, EINVAL);
  const bool is_tap = TRY(is_tap_device(op.device));
  if (!is_tap) return Error::from_errno("make the node", op.path, EPERM);
  if (mknod(op.path.c_str(), S_IFCHR | 0600, op.device) != 0) {
    return Error::from_errno("make the node", op.path, errno);
  }
  return {};
}

// Safe: a list entry for the caller, to whom the policy has allowed the interface, on the kernel's node, which goes with the
// interface, and has its number, a macvtap's; looked at on the descriptor that it is then set on. What the node's mode allows to others stays.
Status act(Rtnl&, const LetUserIn& op) {
  const std::string path = user_node_path(op.index);
  const bool is_tap = TRY(is_tap_device(op.device));
  const Fd node = TRY(open_file(path, O_PATH | O_NOFOLLOW));
  struct stat status;
  if (fstat(node.get(), &status) != 0) return Error::from_errno("look at", path, errno);
  const bool is_kernels = TRY(is_on_devtmpfs(status.st_dev));
  if (!is_tap || !is_kernels || !S_ISCHR(status.st_mode) || status.st_rdev != op.device) {
    return Error::from_errno("let in by", path, EPERM);
  }
  const std::string acl = acl_with_user(status.st_mode, op.uid);
  // setxattr(2) takes no O_PATH descriptor but by this name.
  const std::string same = "/proc/self/fd/" + std::to_string(node.get());
  if (setxattr(same.c_str(), XATTR_NAME_POSIX_ACL_ACCESS, acl.data(), acl.size(), 0) != 0) {
    return Error::from_errno("let uid " + std::to_string(op.uid) + " open", path, errno)
        .with_hint("the file system of /dev needs access control lists");
  }
  return {};
}

// Safe: a node out of our own directory, to the name that belongs to its interface's index; nothing is replaced.
Status act(Rtnl&, const PublishNode& op) {
  const std::string path = user_node_path(op.index);
  if (!is_node_path(op.path) || op.index <= 0) return Error::from_errno("make the node", path, EINVAL);
  if (renameat2(AT_FDCWD, op.path.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0) {
    return Error::from_errno("make the node", path, errno);
  }
  return {};
}

// Safe: a character device of our own user's under that one name, and one that opens nothing for anybody.
Status act(Rtnl&, const RemoveUserNode& op) {
  const std::string path = user_node_path(op.index);
  struct stat status;
  if (lstat(path.c_str(), &status) != 0) return Error::from_errno("look at", path, errno);
  const bool is_ours = S_ISCHR(status.st_mode) && status.st_uid == geteuid() && (status.st_mode & 0777) == 0;
  if (!is_ours) return Error::from_errno("remove", path, EPERM);
  if (unlink(path.c_str()) != 0) return Error::from_errno("remove", path, errno);
  return {};
}

// Safe: on an interface of ours, whose filter follows the host's addresses; only the filter's programs change.
Status act(Rtnl& rtnl, const FollowAddresses& op) {
  const auto tag = parse_tag(op.link.alias);
  if (!tag) return Error::from_errno("change the filter of", op.link.name, EPERM);
  return replace_frame_filter(rtnl, op.link, op.link.kind == "tun" ? GuestSide::kTap : GuestSide::kMacvtap, op.rules);
}

// Safe: what is deleted has the name and a MAC address of the macvtap that was about to be made when there was none of that
// name, and isn't anybody else's by its alias.
Status act(Rtnl& rtnl, const DeleteIntended& op) {
  const Result<Link> found = get_link(rtnl, op.intent.name);
  if (!found.is_ok()) return found.error().code() == ENODEV ? Status() : found.error();
  const Link& link = found.value();
  const bool is_intended = link.mac == op.intent.first_mac || link.mac == op.intent.mac;
  if (link.kind != "macvtap" || !is_intended || (!link.alias.empty() && !parse_tag(link.alias))) return {};
  return delete_link(rtnl, link);
}

// Safe: looked at again by its index, which isn't used twice; the alias, which only CAP_NET_ADMIN changes, is
// still the tag that it got here.
Status act(Rtnl& rtnl, const DeleteTagged& op) {
  const Result<Link> found = get_link(rtnl, op.index);
  if (!found.is_ok()) return found.error().code() == ENODEV ? Status() : found.error();
  if (found.value().alias != op.alias || !parse_tag(op.alias)) return {};
  return delete_link(rtnl, found.value());
}

template <typename Operation>
constexpr int capability_of = CAP_NET_ADMIN;
template <>
constexpr int capability_of<MakeNodeDirectory> = CAP_DAC_OVERRIDE;
template <>
constexpr int capability_of<MakeQueueNode> = CAP_MKNOD;
template <>
constexpr int capability_of<LetUserIn> = CAP_FOWNER;
template <>
constexpr int capability_of<PublishNode> = CAP_DAC_OVERRIDE;
template <>
constexpr int capability_of<RemoveUserNode> = CAP_DAC_OVERRIDE;

template <typename Operation>
Status perform_one(Rtnl& rtnl, const Operation& operation) {
  TRY(raise_capability(capability_of<Operation>));
  Status status = act(rtnl, operation);
  TRY(lower_capability(capability_of<Operation>));
  return status;
}

}  // namespace

Status perform(Rtnl& rtnl, const MacvtapOperation& operation) {
  return std::visit([&](const auto& op) { return perform_one(rtnl, op); }, operation);
}

}  // namespace tapferry
