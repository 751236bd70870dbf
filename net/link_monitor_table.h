// SPDX-License-Identifier: MIT
//
// What is known of all interfaces, and what a message changes of it: the half of the link monitor that does no I/O.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "net/address.h"
#include "net/ethtool.h"
#include "net/link.h"

namespace tapferry {

// Interface, addresses (in the kernel's order of telling) and media as they are at one moment. A value.
struct InterfaceState {
  Link link;
  std::vector<InterfaceAddress> addresses;
  Media media;

  // Administratively up, and the device has a carrier: IFF_LOWER_UP. What a guest's cable is to look like.
  bool has_link() const;
};

// What a person or a program is told of, one bit each.
enum class Aspect : unsigned {
  kName = 1U << 0,
  kUp = 1U << 1,       // IFF_UP
  kCarrier = 1U << 2,  // IFF_LOWER_UP
  kFlags = 1U << 3,    // any of IFF_*
  kMtu = 1U << 4,
  kMac = 1U << 5,
  kMaster = 1U << 6,
  kAlias = 1U << 7,
  kAltnames = 1U << 8,
  kAddresses = 1U << 9,
  kSpeed = 1U << 10,
  kDuplex = 1U << 11,
  kAll = (1U << 12) - 1
};

class Aspects {
 public:
  Aspects() = default;
  Aspects(Aspect aspect) : bits_(static_cast<unsigned>(aspect)) {}
  bool has(Aspect aspect) const { return (bits_ & static_cast<unsigned>(aspect)) != 0; }
  bool is_empty() const { return bits_ == 0; }
  void add(Aspect aspect, bool is_different) { bits_ |= is_different ? static_cast<unsigned>(aspect) : 0; }
  bool operator==(const Aspects&) const = default;

 private:
  unsigned bits_ = 0;
};

// What is different; the order of addresses and altnames is no difference.
Aspects differences(const InterfaceState& before, const InterfaceState& after);

struct LinkChange {
  enum class Kind {
    kPresent,        // was there already when watching began
    kAdded,          // has come
    kChanged,        // `aspects` of it
    kRemoved,        // has gone, also to another network namespace; `state` is the last that was known
    kResynchronised  // the kernel dropped messages; what follows was found by reading everything again. No interface.
  };
  Kind kind = Kind::kPresent;
  InterfaceState state;
  InterfaceState before;  // kChanged only
  Aspects aspects;        // kChanged only
};

class LinkTable {
 public:
  using Interfaces = std::map<int, InterfaceState>;  // by index

  // An RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR or RTM_DELADDR. Nothing where nothing changed that anybody is told of, for an
  // address of an interface that isn't known (the kernel tells of the interface first), and for any other message.
  std::optional<LinkChange> apply(const nlmsghdr* header);
  std::optional<LinkChange> set_media(int ifindex, const Media& media);

  // All interfaces and addresses as they were just read: what has gone, what is different, what has come, in this order. Media
  // stays as it was, since it is read interface by interface.
  std::vector<LinkChange> replace(Interfaces fresh);

  const InterfaceState* find(int ifindex) const;
  const Interfaces& all() const { return interfaces_; }

 private:
  std::optional<LinkChange> set_link(Link link);
  std::optional<LinkChange> remove(int ifindex);
  std::optional<LinkChange> set_address(const InterfaceAddress& address);
  std::optional<LinkChange> drop_address(const InterfaceAddress& address);
  std::optional<LinkChange> become(InterfaceState* state, InterfaceState after);

  Interfaces interfaces_;
};

// Adds it, or replaces the one that it is (is_same_address()).
void put_address(std::vector<InterfaceAddress>* addresses, const InterfaceAddress& address);

}  // namespace tapferry
