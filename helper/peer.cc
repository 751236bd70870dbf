// SPDX-License-Identifier: MIT
#include "helper/peer.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/syscall.h"

// <asm-generic/socket.h> of Linux 6.5.
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

// <linux/un.h>, which can't be included beside <sys/un.h>.
#ifndef SIOCUNIXFILE
#define SIOCUNIXFILE (SIOCPROTOPRIVATE + 0)
#endif

namespace tapferry {
namespace {

constexpr const char* kAction = "find out";
constexpr const char* kObject = "who asks";
// NGROUPS_MAX of <linux/limits.h>.
constexpr size_t kMostGroups = 65536;

// What the kernel shows for ids that this user namespace doesn't map (user_namespaces(7)).
unsigned overflow_id(const std::string& path) {
  constexpr unsigned kDefault = 65534;
  const Result<Fd> file = open_file(path, O_RDONLY);
  if (!file.is_ok()) return kDefault;
  const Result<std::string> text = read_all(file.value().get(), 64, path);
  if (!text.is_ok()) return kDefault;
  const std::string_view line = text.value();
  return static_cast<unsigned>(parse_uint(line.substr(0, line.find('\n')), 0, UINT32_MAX).value_or(kDefault));
}

Result<int> int_option(int socket, int option) {
  int value = 0;
  socklen_t length = sizeof value;
  if (getsockopt(socket, SOL_SOCKET, option, &value, &length) != 0) return Error::from_errno(kAction, kObject, errno);
  return value;
}

Result<std::vector<gid_t>> groups_of(int socket) {
  std::vector<gid_t> groups(64);
  for (;;) {
    auto length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length) == 0) {
      groups.resize(length / sizeof(gid_t));
      return groups;
    }
    if (errno != ERANGE || groups.size() >= kMostGroups) return Error::from_errno(kAction, kObject, errno);
    groups.resize(groups.size() * 4);
  }
}

Error unmapped(const char* what, unsigned id) {
  return Error(kAction, kObject,
               std::string(what) + " " + std::to_string(id) +
                   " stands for all that this user namespace has no number for")
      .with_hint("ask as a user who has one here: tapferryd runs in the host's user namespace, or maps him");
}

}  // namespace

Result<SocketFile> file_of_socket(int socket) {
  TRY(raise_capability(CAP_NET_ADMIN));
  const Fd file(ioctl(socket, SIOCUNIXFILE));
  const int code = errno;
  TRY(lower_capability(CAP_NET_ADMIN));
  if (!file.is_open()) return Error::from_errno("find", "the file of a socket", code);
  struct stat status;
  if (fstat(file.get(), &status) != 0) return Error::from_errno("find", "the file of a socket", errno);
  return SocketFile{status.st_dev, status.st_ino};
}

Status check_accepted(int socket, const SocketFile& listener) {
  const auto wrong = [] {
    return Error("serve", "a client", "what tapferry-broker passed on is no connection of ours");
  };
  if (TRY(int_option(socket, SO_DOMAIN)) != AF_UNIX || TRY(int_option(socket, SO_TYPE)) != SOCK_STREAM) return wrong();
  if (TRY(int_option(socket, SO_ACCEPTCONN)) != 0) return wrong();
  const Result<SocketFile> own = file_of_socket(socket);
  if (!own.is_ok() || own.value() != listener) return wrong();
  return {};
}

Result<Peer> identify_peer(int socket) {
  ucred credentials = {};
  socklen_t length = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    return Error::from_errno(kAction, kObject, errno);
  }
  // A socket that never was connected has neither pid nor ids.
  if (credentials.uid == static_cast<uid_t>(-1) || credentials.gid == static_cast<gid_t>(-1)) {
    return Error::from_errno(kAction, kObject, ENOTCONN);
  }
  if (credentials.uid == overflow_id("/proc/sys/kernel/overflowuid")) return unmapped("uid", credentials.uid);
  const unsigned overflow_gid = overflow_id("/proc/sys/kernel/overflowgid");
  if (credentials.gid == overflow_gid) return unmapped("gid", credentials.gid);
  Peer peer;
  peer.who.uid = credentials.uid;
  peer.who.gid = credentials.gid;
  peer.who.pid = credentials.pid;
  peer.who.parent = getpid();
  peer.who.groups = TRY(groups_of(socket));
  // No rule can mean such a group, and a process must not be put into the one that really has this number.
  std::erase(peer.who.groups, static_cast<gid_t>(overflow_gid));
  int process = -1;
  length = sizeof process;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &process, &length) == 0) peer.process = Fd(process);
  return peer;
}

bool has_ended(const Peer& peer) {
  if (!peer.process.is_open()) return false;
  pollfd ended = {peer.process.get(), POLLIN, 0};
  return poll(&ended, 1, 0) == 1;
}

}  // namespace tapferry
