// SPDX-License-Identifier: MIT
//
// How a macvtap is made, and how one is opened: in the maker's process, step by step, each with what is done when it fails.
#pragma once

#include <optional>

#include "base/result.h"
#include "helper/maker.h"
#include "helper/privileged_macvtap.h"
#include "net/macvtap.h"
#include "net/rtnl.h"

namespace tapferry {

class MacvtapMaker {
 public:
  // `rtnl` was opened with CAP_NET_ADMIN effective, `uevents` before anything is made; `warden` is a connection to it, which
  // knows that queues are opened by `node`.
  MacvtapMaker(Rtnl rtnl, UeventSocket uevents, Fd warden, std::string node)
      : rtnl_(std::move(rtnl)), uevents_(std::move(uevents)), warden_(std::move(warden)), node_(std::move(node)) {}

  // If a step fails, what was made is gone before this returns: the warden deletes it, or this process where there is none any more.
  Result<MadeDevice> make(const MacvtapOrder& order, uid_t uid);

  Result<MadeDevice> open(const Spec& spec, int ifindex, dev_t device);

  // Lets the macvtap that make() has made outlive its queues, and its user open it again. Where it fails, nothing of that is left.
  Status persist(uid_t uid);

  // Deletes what make() has made, with the node that persist() may have made.
  Status undo();

  // Deletes a macvtap that was granted to `uid` with persist=on, and its node.
  Status release(int ifindex, uid_t uid);

  int warden() const { return warden_.get(); }

 private:
  struct Made {
    int index;
    dev_t device;
    std::string alias;
  };

  Status create(const NewMacvtap& wanted, Mac mac);
  Result<MadeDevice> make_intended(const MacvtapOrder& order, uid_t uid, const Intent& intent, const Link& parent);
  Result<Link> identify(const MacvtapOrder& order, uid_t uid, const Link& fresh, Mac mac);
  Status bring_up(const Spec& spec, const Link& macvtap, const Link& parent);
  Result<Fd> open_one(const Spec& spec, const Link& link, dev_t device, bool is_watched);
  Result<std::vector<Fd>> open_queues(const Spec& spec, const Link& link, dev_t device, bool is_watched);
  void take_back(const Intent& intent);

  Rtnl rtnl_;
  UeventSocket uevents_;
  Fd warden_;
  std::string node_;
  std::optional<Made> made_;
};

}  // namespace tapferry
