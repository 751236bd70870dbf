// SPDX-License-Identifier: MIT
#include "helper/adopt.h"

#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <linux/capability.h>
#include <map>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "base/syscall.h"
#include "helper/kept.h"
#include "helper/privilege.h"
#include "helper/privileged_macvtap.h"
#include "helper/queue_node.h"
#include "helper/service_account.h"
#include "helper/syslog.h"
#include "helper/warden.h"
#include "helper/wards.h"
#include "net/macvtap_claim.h"
#include "net/process_fds.h"
#include "net/tag.h"
#include "net/wire.h"

namespace tapferry {
namespace {

constexpr const char* kAccount = "tapferry";
constexpr int kWardenTimeoutMs = 5000;
// A hand-over opens what it has tagged within milliseconds.
constexpr int64_t kFreshForS = 10;
// Of one macvtap: more than a hand-over opens, and less than fit into a message (SCM_MAX_FD).
constexpr size_t kMostNodes = 128;

struct Orphan {
  Link link;
  Tag tag;
  std::map<ino_t, Fd> nodes;  // of its queues that are open (O_PATH)
};
using Orphans = std::map<dev_t, Orphan>;  // by their devices

// Should: become the user tapferry, out of everybody's reach. Must not: keep more than adopting takes.
Status become_adopter() {
  if (prctl(PR_CAPBSET_READ, CAP_SYS_PTRACE, 0, 0, 0) != 1) {
    return Error("take up", "macvtaps", "CAP_SYS_PTRACE is not in the bounding set")
        .with_hint("it shows who holds them; see tapferryd(8)");
  }
  const ServiceAccount account = TRY(service_account(kAccount));
  TRY(drop_to_service(account, {CAP_NET_ADMIN, CAP_DAC_OVERRIDE, CAP_MKNOD, CAP_SYS_PTRACE}));
  prctl(PR_SET_NAME, "tapferry-adopt", 0, 0, 0);
  return {};
}

Result<Rtnl> open_rtnl() {
  TRY(raise_capability(CAP_NET_ADMIN));
  Result<Rtnl> rtnl = Rtnl::open();
  TRY(lower_capability(CAP_NET_ADMIN));
  return rtnl;
}

// All that need a warden, whether they have one or not.
Result<std::vector<Link>> list_wards(Rtnl& rtnl) {
  std::vector<Link> wards;
  TRY(for_each_ward(rtnl, [&](const Link& link) { wards.push_back(link); }));
  return wards;
}

// Macvtaps that the warden doesn't know of.
Result<Orphans> find_orphans(const std::vector<Link>& wards, int warden) {
  Orphans orphans;
  for (const Link& link : wards) {
    const auto kept = keep_by_tag(link);
    const auto known = ask(warden, {"adopt", std::to_string(link.index)}, kWardenTimeoutMs);
    if (known.is_ok() || !kept->goes_with_queues || known.error().code() == ENODEV) continue;
    if (known.error().code() != ENOENT) return known.error();
    orphans[TRY(macvtap_device(link))] = Orphan{link, *parse_tag(link.alias), {}};
  }
  return orphans;
}

// A node of ours that was unlinked; another one wouldn't go with its queue.
void take_node(const DeviceFd& found, Orphan* orphan) {
  if (orphan->nodes.contains(found.inode) || orphan->nodes.size() == kMostNodes) return;
  Result<Fd> node = open_file("/proc/" + std::to_string(found.pid) + "/fd/" + found.number, O_PATH);
  struct stat status;
  if (!node.is_ok() || fstat(node.value().get(), &status) != 0) return;
  const bool is_same = status.st_rdev == found.device && status.st_ino == found.inode;
  if (!is_same || status.st_nlink != 0 || status.st_uid != getuid()) return;
  orphan->nodes.emplace(found.inode, std::move(node).value());
}

Status find_nodes(Orphans* orphans) {
  TRY(raise_capability(CAP_SYS_PTRACE));
  TRY(raise_capability(CAP_DAC_OVERRIDE));
  for_each_device_fd("/proc", [&](const DeviceFd& found) {
    const auto orphan = orphans->find(found.device);
    if (orphan != orphans->end()) take_node(found, &orphan->second);
  });
  TRY(lower_capability(CAP_DAC_OVERRIDE));
  return lower_capability(CAP_SYS_PTRACE);
}

Result<MacvtapClaim> claim(Rtnl& rtnl, const Link& link, dev_t device, const std::string& node) {
  TRY(perform(rtnl, MakeNodeDirectory{}));
  TRY(perform(rtnl, MakeQueueNode{node, device}));
  Result<MacvtapClaim> taken = MacvtapClaim::take(link, node);
  unlink(node.c_str());
  return taken;
}

class Adopter {
 public:
  Adopter(Rtnl rtnl, Fd warden, std::string node, Fd syslog)
      : rtnl_(std::move(rtnl)), warden_(std::move(warden)), node_(std::move(node)), syslog_(std::move(syslog)) {}

  // False: to be looked at again later.
  Result<bool> adopt(const Orphan& orphan, dev_t device) {
    if (orphan.nodes.size() < orphan.tag.queues) {
      const int64_t age = time(nullptr) - orphan.tag.since;
      if (age >= 0 && age < kFreshForS) return false;
      const MacvtapClaim claimed = TRY(claim(rtnl_, orphan.link, device, node_));
      if (claimed.held_by_others() == 0) return remove(orphan);
      if (claimed.held_by_others() > orphan.nodes.size()) return false;
    }
    std::vector<int> nodes;
    for (const auto& [inode, node] : orphan.nodes) nodes.push_back(node.get());
    TRY(ask(warden_.get(), {"adopt", std::to_string(orphan.link.index)}, kWardenTimeoutMs, nodes));
    return true;
  }

 private:
  // While all of its queues are ours.
  Result<bool> remove(const Orphan& orphan) {
    const Link& link = orphan.link;
    TRY(perform(rtnl_, DeleteTagged{link.index, link.alias}));
    log_removal(syslog_, {orphan.tag.uid, link.name, link.index, "nobody holds it, and its warden was killed", ""});
    return true;
  }

  Rtnl rtnl_;
  Fd warden_;
  std::string node_;
  Fd syslog_;
};

}  // namespace

Result<bool> adopt_orphans() {
  TRY(become_adopter());
  Rtnl rtnl = TRY(open_rtnl());
  const std::vector<Link> wards = TRY(list_wards(rtnl));
  if (wards.empty()) return true;
  std::string node = TRY(fresh_node_path());
  // Where there is none this starts one, which takes up by itself what needs no queues.
  Fd warden = TRY(connect_to_warden(node));
  Orphans orphans = TRY(find_orphans(wards, warden.get()));
  if (orphans.empty()) return true;
  TRY(find_nodes(&orphans));
  Result<Fd> syslog = connect_to_syslog();
  Adopter adopter(std::move(rtnl), std::move(warden), std::move(node),
                  syslog.is_ok() ? std::move(syslog).value() : Fd());
  bool is_done = true;
  std::optional<Error> failure;
  for (const auto& [device, orphan] : orphans) {
    const Result<bool> adopted = adopter.adopt(orphan, device);
    if (adopted.is_ok() ? !adopted.value() : adopted.error().code() != ENODEV) is_done = false;
    if (!adopted.is_ok() && adopted.error().code() != ENODEV) failure = adopted.error();
  }
  if (failure) return *std::move(failure);
  return is_done;
}

}  // namespace tapferry
