// SPDX-License-Identifier: MIT
//
// The command line that `tapferry run` executes: placeholders filled in, or QEMU's own options added. Pure.
//
// A placeholder is {fds}, {vhostfds}, {socket}, {mac} or {ifname}, with the number of its --net behind the word, from 0:
// {fds1} is the second's; {fds} is {fds0}. Anything else in braces is left as it is.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/mac.h"
#include "net/spec.h"

namespace tapferry {

// An interface as the command gets it.
struct Nic {
  std::string ifname;
  Mac guest_mac;
  unsigned mtu = 1500;         // bytes
  std::vector<int> fds;        // one for each queue
  std::vector<int> vhost_fds;  // as many, or none
  // With --vhost-user: what the VMM connects to, and how many queue pairs there are; the descriptors aren't the command's then.
  std::string socket;
  size_t queues = 1;
};

// How the command gets its interfaces.
enum class Way {
  kDescriptors,  // those of the taps
  kVhostUser,    // a socket of tapferry-vhost, which has the taps
};

// What tapferry-vhost can't work with, before anything is asked for.
Status check_vhost_user(const Spec& spec, const std::string& spec_text);

bool has_placeholder(std::span<const std::string> arguments);

// Whether every placeholder has an interface, and vhost descriptors where it wants some: known from what is asked, so
// that nothing is asked in vain.
Status check_placeholders(std::span<const std::string> arguments, std::span<const Spec> asked, Way way);

// `arguments` with the placeholders replaced; one without an interface stays.
std::vector<std::string> fill_placeholders(std::span<const std::string> arguments, std::span<const Nic> nics);

// qemu-system-*, qemu-kvm or kvm, by the last part of the path.
bool is_qemu(std::string_view program);

// -netdev and -device for each interface, with the ids tapferry0, tapferry1, ...
std::vector<std::string> qemu_options(std::span<const Nic> nics);

// The same over vhost-user, each with its -chardev. `command` is QEMU's own: its guest's memory has to be shared, so unless it
// names a memory backend one of the size that -m gives is added. `has_kvm`: /dev/kvm can be used, should QEMU be told to.
std::vector<std::string> qemu_vhost_user_options(std::span<const std::string> command, std::span<const Nic> nics,
                                                 bool has_kvm);

}  // namespace tapferry
