// SPDX-License-Identifier: MIT
//
// Stage 1: everything that takes more than CAP_NET_ADMIN is opened here, before a byte that the caller chose is parsed.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "helper/audit.h"
#include "helper/privilege.h"
#include "net/rtnl.h"

namespace tapferry {

// What stage 1 takes along. Failures that matter only if something is handed over are kept, so that --help and --explain
// work without privilege, and a refused request is refused for the reason that the caller can do something about.
struct Acquired {
  Identity caller;
  bool has_net_admin = false;
  std::string why_not;
  Result<Auditor> auditor;
  Result<Rtnl> rtnl;
  Result<Rtnl> scan;
  Result<std::vector<Fd>> tun;
};

// Should: learn who asks, fork the auditor, open the tun node (as the caller, and only if its mode forbids that as root) and
// the rtnetlink sockets. Must not: parse.
Result<Acquired> acquire(int argc, char* argv[]);

}  // namespace tapferry
