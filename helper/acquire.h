// SPDX-License-Identifier: MIT
//
// Stage 1: everything that takes more than CAP_NET_ADMIN is opened here, before a byte that the caller chose is parsed.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "helper/audit.h"
#include "helper/maker.h"
#include "helper/privilege.h"
#include "net/rtnl.h"
#include "net/spec.h"

namespace tapferry {

// What stage 1 takes along. Failures that matter only if something is handed over are kept, so that --help and --explain
// work without privilege, and a refused request is refused for the reason that the caller can do something about.
struct Acquired {
  Identity caller;
  bool has_net_admin = false;
  std::string why_not;
  Result<Auditor> auditor;
  Result<Maker> maker;
  Result<Rtnl> rtnl;
  Result<Rtnl> scan;
  Result<std::vector<Fd>> tun;
  Result<std::vector<Fd>> vhost;  // of /dev/vhost-net, non-blocking; empty if the arguments can't ask for it
};

// Should: learn who asks, fork the auditor and, in the --net form, the maker, open the tun node and, if the arguments can ask for it, the vhost-net node (as
// the caller, and only if its mode forbids that as root), and the rtnetlink sockets. Must not: parse.
Result<Acquired> acquire(int argc, char* argv[]);

// One descriptor of /dev/vhost-net for each queue of the decided request, or none. With vhost=auto none also where there is no
// vhost-net that this process may open; a node of that name which is something else is an error with either.
Result<std::vector<Fd>> vhost_for(Acquired* acquired, const Spec& spec);

}  // namespace tapferry
