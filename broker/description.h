// SPDX-License-Identifier: MIT
//
// The interfaces in Varlink's own language, as GetInterfaceDescription gives them. docs/PROTOCOL.md says the rest.
#pragma once

namespace tapferry {

inline constexpr const char* kServiceDescription = R"(# What every Varlink service has.
interface org.varlink.service

# Who made this service, and which interfaces it has.
method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

# An interface in this language.
method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound (interface: string)

error MethodNotFound (method: string)

error MethodNotImplemented (method: string)

error InvalidParameter (parameter: string)
)";

inline constexpr const char* kBrokerDescription =
    R"(# Hands network interfaces over to programs without privilege, as the host's policy allows.
interface org.tapferry.Broker

# What was made, or attached to: docs/PROTOCOL.md, version 1 of the grant record.
type Grant (
  version: int,
  kind: string,
  ifname: string,
  ifindex: int,
  upper: ?string,
  queues: int,
  vhost: int,
  vnet_hdr: bool,
  vnet_hdr_sz: int,
  mac: string,
  mtu: int,
  up: bool,
  rule: string
)

# An interface that was made for the caller, since when (seconds since the epoch), by which rule.
type Interface (
  ifname: string,
  ifindex: int,
  kind: string,
  upper: ?string,
  uid: int,
  since: int,
  up: bool,
  rule: string
)

# Makes the interface that the SPEC asks for. Its descriptors go with the reply; queue_fds and vhost_fds say
# which of them is what, counted from 0. It exists for as long as one of them is open.
method Open(net: string) -> (grant: Grant, queue_fds: []int, vhost_fds: []int)

# Which rule of the policy would decide, and why; nothing is made.
method Explain(net: string) -> (explanation: object)

# Deletes an interface that was made for the caller with persist=on, also while somebody has it open.
method Release(ifname: string) -> ()

# Brings up an interface that was made for the caller with up=off, unless its rule forces that.
method Up(ifname: string) -> ()

# The interfaces that were made for the caller and exist; for root those of all users.
method List() -> (interfaces: []Interface)

# The policy doesn't allow it, or there is no such interface of the caller's.
error Refused (message: string)

# It couldn't be done.
error Failed (message: string)

# The caller has too many connections, or calls too often.
error Busy (message: string)

# What was sent is no call of Varlink. The connection ends.
error Malformed (message: string)
)";

}  // namespace tapferry
