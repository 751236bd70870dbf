// SPDX-License-Identifier: MIT
//
// The privileged operations that the maker and the warden have besides those of helper/privileged.h, as closed a set: making a
// macvtap and nodes to open it by, and removing what they made. Each checks its input again and says in
// privileged_macvtap.cc why it is safe to do for a stranger.
#pragma once

#include <string>
#include <sys/types.h>
#include <variant>

#include "base/result.h"
#include "net/link.h"
#include "net/macvtap.h"
#include "net/rtnl.h"
#include "net/tc.h"
#include "net/warden_names.h"

namespace tapferry {

struct CreateMacvtap {
  const NewMacvtap& macvtap;
};
struct BringParentUp {
  const Link& macvtap;
  const Link& parent;
};
struct MakeNodeDirectory {};
struct MakeQueueNode {
  std::string path;
  dev_t device;
};
// helper/user_node.h has these three.
struct LetUserIn {
  int index;
  dev_t device;
  uid_t uid;
};
struct PublishNode {
  std::string path;
  int index;
};
struct RemoveUserNode {
  int index;
};
struct FollowAddresses {
  const Link& link;
  TrafficRules rules;
};
// A macvtap that was begun: when it is made in passthru mode it has its parent's MAC address, and gets its own later.
struct Intent {
  std::string name;
  Mac first_mac;
  Mac mac;
};
struct DeleteIntended {
  Intent intent;
};
struct DeleteTagged {
  int index;
  std::string alias;
};

using MacvtapOperation = std::variant<CreateMacvtap, BringParentUp, MakeNodeDirectory, MakeQueueNode, LetUserIn,
                                      PublishNode, RemoveUserNode, FollowAddresses, DeleteIntended, DeleteTagged>;

// Raises the one capability that the operation takes, does it, lowers it.
Status perform(Rtnl& rtnl, const MacvtapOperation& operation);

}  // namespace tapferry
