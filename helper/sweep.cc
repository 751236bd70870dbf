// SPDX-License-Identifier: MIT
#include "helper/sweep.h"

#include <cerrno>
#include <sys/random.h>
#include <vector>

#include "helper/privileged.h"
#include "net/abandoned.h"

namespace tapferry {
namespace {

constexpr unsigned kOldest = 8;
constexpr unsigned kSweepAllOneIn = 64;

Status delete_abandoned(Rtnl& rtnl, const std::vector<Link>& abandoned) {
  for (const Link& tap : abandoned) {
    const Result<std::string> deleted = perform(rtnl, DeleteAbandonedTap{tap});
    if (deleted.is_ok()) continue;
    // Another hand-over was quicker, or somebody has taken hold of it again.
    if (deleted.error().code() == ENODEV || deleted.error().code() == EPERM) continue;
    return deleted.error();
  }
  return {};
}

bool is_time_for_all() {
  unsigned char byte = 0;
  return getrandom(&byte, sizeof byte, GRND_NONBLOCK) == sizeof byte && byte % kSweepAllOneIn == 0;
}

}  // namespace

Status sweep_all(Rtnl& rtnl) {
  std::vector<Link> abandoned;
  TRY(for_each_link(rtnl, "tun", [&](const Link& link) {
    if (is_abandoned(link)) abandoned.push_back(link);
  }));
  return delete_abandoned(rtnl, abandoned);
}

Status sweep_some(Rtnl& rtnl, Rtnl scan) {
  if (is_time_for_all()) return sweep_all(rtnl);
  std::vector<Link> abandoned;
  const Status listed = for_some_links(std::move(scan), "tun", kOldest, [&](const Link& link) {
    if (is_abandoned(link)) abandoned.push_back(link);
  });
  // EINTR: the list changed while it was read. What was seen was so.
  if (!listed.is_ok() && listed.error().code() != EINTR) return listed;
  return delete_abandoned(rtnl, abandoned);
}

}  // namespace tapferry
