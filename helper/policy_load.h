// SPDX-License-Identifier: MIT
//
// The policy's files: which are read, who must own them, includes and globs. They are opened as the caller; that is what
// lets an administrator keep an include to some users (QEMU's trick). Everything else that can't be read is an error,
// and an error denies everything.
#pragma once

#include <optional>
#include <string>
#include <sys/types.h>

#include "base/result.h"
#include "helper/policy.h"

namespace tapferry {

inline constexpr size_t kMaxPolicyFile = 1u << 20;  // bytes
inline constexpr unsigned kMaxIncludeDepth = 16;
inline constexpr unsigned kMaxPolicyFiles = 1024;

struct PolicyPaths {
  std::string policy;       // /etc/tapferry/policy.conf
  std::string bridge_conf;  // /etc/qemu/bridge.conf, read only if the first doesn't exist; empty: none
};

// `trusted_uid` may own the files besides root: for --policy=, where the caller has no less privilege than the program.
Result<Policy> load_policy(const PolicyPaths& paths, std::optional<uid_t> trusted_uid = std::nullopt);

}  // namespace tapferry
