// SPDX-License-Identifier: MIT
#include "helper/user_node.h"

#include <cerrno>
#include <endian.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/xattr.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/syscall.h"
#include "helper/privileged_macvtap.h"
#include "net/macvtap.h"

namespace tapferry {
namespace {

constexpr mode_t kPermissions = 0777;
constexpr const char* kMountinfo = "/proc/self/mountinfo";
// Some ten thousand mounts.
constexpr size_t kMaxMountinfo = 4 * 1024 * 1024;
// The owner's, and the mask of what its list gives to users (acl(5)).
constexpr mode_t kOpenMode = 0660;

bool is_own(const struct stat& status) { return S_ISCHR(status.st_mode) && status.st_uid == geteuid(); }

Status place(Rtnl& rtnl, const std::string& temporary, int index, uid_t uid, const std::function<Status()>& watch) {
  TRY(watch());
  const std::string acl = acl_with_user(S_IRUSR | S_IWUSR, uid);
  if (setxattr(temporary.c_str(), XATTR_NAME_POSIX_ACL_ACCESS, acl.data(), acl.size(), XATTR_CREATE) != 0) {
    return Error::from_errno("let uid " + std::to_string(uid) + " open", temporary, errno)
        .with_hint("the file system of /dev needs access control lists");
  }
  return perform(rtnl, PublishNode{temporary, index});
}

}  // namespace

std::string user_node_path(int index) { return "/dev/tap" + std::to_string(index); }

bool is_devtmpfs(std::string_view mountinfo, dev_t device) {
  const std::string number = std::to_string(major(device)) + ":" + std::to_string(minor(device));
  for (const std::string_view line : split(mountinfo, '\n')) {
    // Blanks in paths are escaped.
    const auto words = split(line, ' ');
    if (words.size() > 2 && words[2] == number && line.find(" - devtmpfs ") != std::string_view::npos) return true;
  }
  return false;
}

Result<bool> is_on_devtmpfs(dev_t device) {
  const Fd file = TRY(open_file(kMountinfo, O_RDONLY));
  return is_devtmpfs(TRY(read_all(file.get(), kMaxMountinfo, kMountinfo)), device);
}

std::string acl_with_user(mode_t mode, uid_t uid) {
  struct {
    posix_acl_xattr_header header;
    posix_acl_xattr_entry entries[5];
  } acl = {};
  const auto entry = [](int tag, mode_t permissions, uint32_t id) {
    return posix_acl_xattr_entry{htole16(static_cast<uint16_t>(tag)), htole16(static_cast<uint16_t>(permissions & 7)),
                                 htole32(id)};
  };
  constexpr auto kNobody = static_cast<uint32_t>(ACL_UNDEFINED_ID);
  constexpr mode_t kReadWrite = ACL_READ | ACL_WRITE;
  acl.header.a_version = htole32(POSIX_ACL_XATTR_VERSION);
  acl.entries[0] = entry(ACL_USER_OBJ, mode >> 6, kNobody);
  acl.entries[1] = entry(ACL_USER, kReadWrite, uid);
  acl.entries[2] = entry(ACL_GROUP_OBJ, mode >> 3, kNobody);
  acl.entries[3] = entry(ACL_MASK, kReadWrite | mode >> 3, kNobody);
  acl.entries[4] = entry(ACL_OTHER, mode, kNobody);
  return {reinterpret_cast<const char*>(&acl), sizeof acl};
}

Result<UserNode> look_at_user_node(int index, dev_t device) {
  const std::string path = user_node_path(index);
  struct stat status;
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return UserNode::kAbsent;
    return Error::from_errno("look at", path, errno);
  }
  const bool is_of_device = S_ISCHR(status.st_mode) && status.st_rdev == device;
  if (is_own(status) && (is_of_device || (status.st_mode & kPermissions) == 0)) return UserNode::kStale;
  const bool is_kernels = TRY(is_on_devtmpfs(status.st_dev));
  if (is_of_device && is_kernels) return UserNode::kKernels;
  if (is_of_device) {
    return Error("make the node", path, "it is there, and neither the kernel's own nor made by tapferry")
        .with_hint("as root, remove it");
  }
  return Error("make the node", path, "it is there, and of another interface")
      .with_hint("ask again, and the next interface has another number; `tapferry doctor' tells if it was left behind");
}

Status make_user_node(Rtnl& rtnl, const std::string& temporary, int index, dev_t device, uid_t uid,
                      const std::function<Status()>& watch) {
  const UserNode found = TRY(look_at_user_node(index, device));
  if (found == UserNode::kKernels) return perform(rtnl, LetUserIn{index, device, uid});
  if (found == UserNode::kStale) {
    TRY(close_user_node(index));
    TRY(remove_closed_user_node(rtnl, index));
  }
  TRY(perform(rtnl, MakeQueueNode{temporary, device}));
  Status placed = place(rtnl, temporary, index, uid, watch);
  if (!placed.is_ok()) unlink(temporary.c_str());
  return placed;
}

bool has_own_user_node(const Link& link) {
  const std::string path = user_node_path(link.index);
  struct stat status;
  if (lstat(path.c_str(), &status) != 0 || !is_own(status)) return false;
  const Result<Fd> queue = open_file(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW);
  if (!queue.is_ok()) return false;
  const Result<TapQueue> description = describe_tap_queue(queue.value().get());
  const Result<Mac> mac = queue_mac(queue.value().get());
  return description.is_ok() && mac.is_ok() && description.value().ifname == link.name && mac.value() == link.mac;
}

Status close_user_node(int index) {
  const std::string path = user_node_path(index);
  if (chmod(path.c_str(), 0) != 0) return Error::from_errno("take the permissions off", path, errno);
  return {};
}

Result<ino_t> inode_of(const std::string& node) {
  struct stat status;
  if (lstat(node.c_str(), &status) != 0) return Error::from_errno("look at", node, errno);
  return status.st_ino;
}

void close_user_node(int index, std::optional<ino_t> inode) {
  if (!inode) return;
  const Result<ino_t> now = inode_of(user_node_path(index));
  if (now.is_ok() && now.value() == *inode) (void)close_user_node(index).is_ok();
}

void reopen_user_node(int index) { (void)chmod(user_node_path(index).c_str(), kOpenMode); }

Status remove_closed_user_node(Rtnl& rtnl, int index) {
  struct stat status;
  if (lstat(user_node_path(index).c_str(), &status) != 0) return {};
  if (!is_own(status) || (status.st_mode & kPermissions) != 0) return {};
  return perform(rtnl, RemoveUserNode{index});
}

}  // namespace tapferry
