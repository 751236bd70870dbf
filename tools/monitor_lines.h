// SPDX-License-Identifier: MIT
//
// What `tapferry monitor` prints: one line for each change, for people or as JSON.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "net/link_monitor_table.h"

namespace tapferry {

// The name of the interface with this index; empty if it isn't known.
using NameOf = std::function<std::string(int ifindex)>;

class MonitorLines {
 public:
  MonitorLines(bool is_json, NameOf name_of) : is_json_(is_json), name_of_(std::move(name_of)) {}

  // Each ends with a newline. `time_us` is microseconds since the epoch: people get local time with milliseconds, JSON UTC with
  // microseconds.
  std::string change(const LinkChange& change, int64_t time_us) const;
  // The guest's end of QEMU's network device `id` was switched.
  std::string guest_link(std::string_view id, bool is_up, int64_t time_us) const;
  // The virtual machine has gone.
  std::string guest_gone(std::string_view id, int64_t time_us) const;

 private:
  bool is_json_;
  NameOf name_of_;
};

}  // namespace tapferry
