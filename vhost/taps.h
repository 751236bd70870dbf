// SPDX-License-Identifier: MIT
//
// The queues of the interface whose frames are the guest's: asked for by SPEC, or inherited.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "net/spec.h"
#include "vhost/net_features.h"
#include "vhost/tap_port.h"

namespace tapferry {

class Taps {
 public:
  // Asks `helper` for the interface.
  static Result<Taps> ask(const std::string& helper, const Spec& spec);
  // Descriptors that were inherited: of one interface, each with a vnet header.
  static Result<Taps> take(const std::vector<int>& numbers);

  const std::string& ifname() const { return ports_.front().ifname(); }
  const std::vector<TapPort>& ports() const { return ports_; }
  // What the kernel takes on them. An MTU of 0 isn't known, since the interface is in another network namespace.
  NetAbilities abilities() const;
  // Which merged frames the kernel takes; see vhost/gso_probe.h.
  MergeTypes merge_types() const;

  // The offloads that the guest takes, and the length of the vnet header, on every queue. When fewer offloads than before are set
  // the frames that wait in the queues are dropped: they were made for a guest that took more.
  Status set(unsigned tun_f, unsigned header_bytes);

 private:
  static Result<Taps> prepare(std::vector<Fd> queues);

  std::vector<TapPort> ports_;
  unsigned offloads_ = 0;
};

}  // namespace tapferry
