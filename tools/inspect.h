// SPDX-License-Identifier: MIT
//
// What was received, as the kernel tells it: facts only; what they should be is tools/checks.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "net/grant.h"
#include "net/link.h"
#include "net/tun.h"

namespace tapferry {

struct FdFacts {
  std::string kind;  // "tap queue", "/dev/vhost-net", "socket", ...
  bool is_tap = false;
  bool is_nonblocking = false;
  bool is_cloexec = false;
  TapQueue queue;  // of a tap
  std::optional<Mac> mac;
  std::vector<std::string> offloads;  // of a tap: csum, tso4, ... that TUNSETOFFLOAD takes
};

struct InterfaceFacts {
  Link link;
  std::string master;  // name; empty: no port of anything
  unsigned master_mtu = 0;
};

struct Facts {
  std::optional<int> wait_status;  // of the helper, if one was run
  size_t bytes = 0;                // of the first message
  std::string text;                // these bytes
  size_t trailing_bytes = 0;
  size_t trailing_fds = 0;
  bool is_truncated = false;
  std::optional<Grant> record;
  std::string record_error;  // why there is none
  std::vector<FdFacts> fds;
  std::optional<InterfaceFacts> interface;
  std::string interface_error;  // why there is none
};

// Tries the offloads one by one and leaves them all off.
FdFacts inspect_fd(int fd);

// The interface behind the first tap of `fds`. In this network namespace only; one of that name but another MAC is a
// stranger, and an error.
Result<InterfaceFacts> inspect_interface(const std::vector<FdFacts>& fds);

// "tap", "no_pi", ...: the IFF_* bits that have a name, in ascending order of the bits.
std::vector<std::string> tap_flag_names(unsigned flags);

}  // namespace tapferry
