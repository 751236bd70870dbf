// SPDX-License-Identifier: MIT
//
// A node of doctor's own in /dev (tools/doctor_nodes.h), through which a macvtap's queues are opened.
#pragma once

#include <string>
#include <sys/types.h>
#include <utility>

#include "base/result.h"

namespace tapferry {

// It is there for as long as the object. Needs CAP_MKNOD.
class PrivateNode {
 public:
  static Result<PrivateNode> make(dev_t device);

  PrivateNode(PrivateNode&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  PrivateNode& operator=(PrivateNode&&) = delete;
  PrivateNode(const PrivateNode&) = delete;
  PrivateNode& operator=(const PrivateNode&) = delete;
  ~PrivateNode();
  const std::string& path() const { return path_; }

 private:
  explicit PrivateNode(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace tapferry
