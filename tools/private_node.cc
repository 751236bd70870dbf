// SPDX-License-Identifier: MIT
#include "tools/private_node.h"

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/doctor_nodes.h"

namespace tapferry {

Result<PrivateNode> PrivateNode::make(dev_t device) {
  uint64_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) return Error::from_errno("read", "random bytes", errno);
  char suffix[17];
  snprintf(suffix, sizeof suffix, "%016" PRIx64, random);
  PrivateNode node(std::string(kOwnNodes) + "/" + std::string(kOwnNodePrefix) + suffix);
  if (mknod(node.path_.c_str(), S_IFCHR | 0600, device) != 0) {
    const int code = errno;
    const std::string path = std::exchange(node.path_, {});
    return Error::from_errno("make", path, code).with_hint("it needs CAP_MKNOD: root outside of containers has it");
  }
  return node;
}

PrivateNode::~PrivateNode() {
  if (!path_.empty()) unlink(path_.c_str());
}

}  // namespace tapferry
