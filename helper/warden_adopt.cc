// SPDX-License-Identifier: MIT
//
// The warden takes up what another one watched over that was killed: what takes no more than looking, when it begins; macvtaps
// when tapferryd brings their queues (helper/adopt.h).
#include <algorithm>
#include <cerrno>

#include "base/parse.h"
#include "helper/warden_service.h"
#include "helper/wards.h"

namespace tapferry {

bool Warden::is_known(const Link& link) const {
  const Kept* kept = kept_.find(link.index);
  if (kept != nullptr) return !kept->goes_with_queues || !kept->queues.empty();
  return std::any_of(connections_.begin(), connections_.end(),
                     [&](const Connection& maker) { return maker.intent && maker.intent->name == link.name; });
}

// The descriptors are of the nodes of all its queues that are open (O_PATH): each lasts until its queue's end, at least. Without any
// it is the question whether this interface is one of those that are watched over; ENOENT: it isn't.
Status Warden::adopt(const WireMessage& message) {
  const auto index = parse_uint(message.fields[1], 1, INT32_MAX);
  if (!index) return Error::from_errno("understand", "adopt", EBADMSG);
  const Link link = TRY(get_link(rtnl_, static_cast<int>(*index)));
  if (is_known(link)) return {};
  if (message.fds.empty()) return Error::from_errno("watch over", link.name, ENOENT);
  auto kept = keep_by_tag(link);
  if (!kept || !kept->goes_with_queues) return Error::from_errno("watch over", link.name, EPERM);
  for (const Fd& node : message.fds) {
    kept->queues.insert(TRY(watches_.add("/proc/self/fd/" + std::to_string(node.get()))));
  }
  take_up(link, *std::move(kept));
  return {};
}

void Warden::adopt_watchable() {
  std::vector<Link> wards;
  if (!for_each_ward(rtnl_, [&](const Link& link) { wards.push_back(link); }).is_ok()) return;
  for (const Link& link : wards) {
    Kept kept = *keep_by_tag(link);
    if (kept.fixed_mac || kept.follows_addresses) take_up(link, std::move(kept));
  }
}

void Warden::take_up(const Link& link, Kept kept) {
  const int upper = kept.follows_addresses ? kept.upper : 0;
  kept_.add(link.index, std::move(kept));
  look_at(link);
  if (upper != 0) follow_addresses_of(upper);
}

}  // namespace tapferry
