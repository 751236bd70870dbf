// SPDX-License-Identifier: MIT
//
// A guest's end of the cable: the link state of one of QEMU's network devices, switched by QMP (set_link).
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "tools/qmp.h"

namespace tapferry {

class GuestLink {
 public:
  // `id` is that of QEMU's netdev, or of the network device in front of it.
  GuestLink(Qmp qmp, std::string id) : qmp_(std::move(qmp)), id_(std::move(id)) {}

  const std::string& id() const { return id_; }
  Qmp& qmp() { return qmp_; }

  // Whether the guest had to be told; the first time it has to, since nobody else knows what QEMU was told before.
  Result<bool> set(bool is_up);

 private:
  Qmp qmp_;
  std::string id_;
  std::optional<bool> told_;
};

}  // namespace tapferry
