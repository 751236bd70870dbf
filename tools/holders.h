// SPDX-License-Identifier: MIT
//
// Who holds which tap or macvtap, as /proc tells it: a tun descriptor says in its fdinfo which tap it is a queue of, a
// macvtap's is known by its device number. As with find_open_devices(), what is on its way in a socket, registered with an io_uring or in
// a table of a thread's own isn't seen.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace tapferry {

struct HolderProcess {
  int pid = 0;
  std::string name;             // of /proc/PID/comm, which the process chooses itself
  std::optional<uint32_t> uid;  // its real one
  unsigned queues = 0;          // those of one node count once
  bool is_in_our_netns = false;

  bool operator==(const HolderProcess&) const = default;
};

struct Holders {
  std::map<std::string, std::vector<HolderProcess>>
      taps;  // by the tap's name, which is unique in a network namespace only
  std::map<dev_t, std::vector<HolderProcess>> macvtaps;  // by device number, unique on the host
  bool is_complete = false;                              // all processes of this host could be looked into

  // Of the tap `name` of this network namespace, which is `owner`'s. A process of another namespace may have been given it, or
  // have one of its own that is called the same; it counts where none of this namespace has one, and if it is the owner's.
  std::vector<HolderProcess> of_tap(const std::string& name, uint32_t owner) const;
  std::vector<HolderProcess> of_macvtap(dev_t device) const;
};

// The `iff:` line of a tun descriptor's fdinfo (tun_chr_show_fdinfo() in drivers/net/tun.c); empty for one without a tap.
std::string tap_name_of_fdinfo(std::string_view text);

Holders find_holders(const std::string& proc = "/proc");

}  // namespace tapferry
