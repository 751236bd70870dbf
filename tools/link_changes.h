// SPDX-License-Identifier: MIT
//
// What `tapferry link set` can change, and the words that ask for it.
#pragma once

#include <netinet/in.h>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "net/mac.h"
#include "net/netdevice_flags.h"

namespace tapferry {

struct SetFlag {
  InterfaceFlag flag;
  bool is_on = false;
};
struct SetMtu {
  int bytes = 0;
};
struct SetTxQueueLen {
  int frames = 0;
};
struct SetMetric {
  int metric = 0;
};
struct SetPrivateFlags {
  unsigned flags = 0;
};
struct Rename {
  std::string name;
};
struct SetAddress {
  Mac mac;
};
struct SetBroadcast {
  Mac mac;
};
struct ChangeMulticast {
  Mac mac;
  bool is_added = false;
};
// What isn't given stays as it is.
struct SetMap {
  std::optional<uint64_t> mem_start, mem_end, base_addr, irq, dma, port;
};
struct SetIpv4 {
  enum class What { kAddress, kNetmask, kBroadcast, kDestination };
  What what = What::kAddress;
  in_addr address{};  // 0.0.0.0 as kAddress: none
};
struct ChangeIpv6 {
  in6_addr address{};
  unsigned prefix_len = 0;
  bool is_added = false;
};

using Change = std::variant<SetFlag, SetMtu, SetTxQueueLen, SetMetric, SetPrivateFlags, Rename, SetAddress,
                            SetBroadcast, ChangeMulticast, SetMap, SetIpv4, ChangeIpv6>;

// In the words' order; nothing but words is looked at. At least one change, and each key that isn't repeatable once.
Result<std::vector<Change>> parse_changes(std::span<const std::string> words);

}  // namespace tapferry
