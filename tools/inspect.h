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
  std::string kind;     // "tap queue", "macvtap queue", "vhost-net", "socket", ...
  std::string path;     // as /proc/self/fd has it: /dev/net/tun, socket:[1234]
  bool is_tap = false;  // a queue, of a tap or of a macvtap
  bool is_nonblocking = false;
  bool is_cloexec = false;
  TapQueue queue;  // of a queue
  std::optional<Mac> mac;
  std::vector<std::string> offloads;       // of a queue: csum, tso4, ... that TUNSETOFFLOAD takes
  std::optional<uint64_t> vhost_features;  // of vhost-net: what VHOST_GET_FEATURES offers
};

struct InterfaceFacts {
  Link link;
  std::string master;  // name; empty: no port of anything
  unsigned master_mtu = 0;
  std::string lower;  // name of a macvtap's parent; empty: none in this network namespace
  unsigned lower_mtu = 0;
  std::string mode;  // of a macvtap: "bridge", "vepa", ...
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

// The interface behind the first queue of `fds`. In this network namespace only; one of that name but another MAC is a
// stranger, and an error.
Result<InterfaceFacts> inspect_interface(const std::vector<FdFacts>& fds);

// "tap", "no_pi", ...: the IFF_* bits that have a name, in ascending order of the bits.
std::vector<std::string> tap_flag_names(unsigned flags);

// "mrg_rxbuf", "version_1", ...: the feature bits of vhost-net by name, in ascending order; "bit 40" where there is none.
std::vector<std::string> vhost_feature_names(uint64_t features);

}  // namespace tapferry
