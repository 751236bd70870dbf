// SPDX-License-Identifier: MIT
//
// What `tapferry status' and `tapferry top' show: taps and macvtaps with whose they are, who holds them, what holds for them,
// and what crosses them. All counters are the guest's: what it received and what it sent. For a tap that is the reverse of
// the host's own counters of the interface, for a macvtap it isn't.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/rtnl.h"
#include "net/tag.h"
#include "net/tap_links.h"
#include "net/tc.h"
#include "tools/holders.h"

namespace tapferry {

// Of one direction, a second.
struct TrafficRate {
  double bytes = 0;
  double frames = 0;
};

struct InterfaceStatus {
  Link link;
  std::optional<Tag> tag;       // not of one that tapferry didn't make
  std::string kind;             // the word of SPEC: what was asked for, or what it looks like
  std::string upper;            // bridge or parent; empty: none
  std::optional<uint32_t> uid;  // whose it is, if it is somebody's
  std::string user;             // name, else number; empty without uid
  std::optional<unsigned> queues;
  std::vector<HolderProcess> holders;
  bool has_unseen_holder = false;  // held, or perhaps held, by none that can be seen from here
  std::optional<PortFlags> port;
  std::optional<TrafficRules> rules;  // unset: could not be read
  FrameCounters received;             // by the guest
  FrameCounters sent;
  std::optional<TrafficRate> receive_rate;
  std::optional<TrafficRate> send_rate;

  const char* state() const;  // "up", "down", "no-carrier" (up without one)
  bool is_locked() const;
  bool is_isolated() const { return port && port->isolated.value_or(false); }
  bool is_filtered() const { return rules && rules->ethertypes.has_value(); }
  bool is_persistent() const;
};

struct StatusSnapshot {
  std::vector<InterfaceStatus> interfaces;  // by name, numbers in them as numbers
  int64_t time_us = 0;                      // since the epoch
  int64_t monotonic_us = 0;
  double interval_s = 0;  // over which the rates were taken; 0: there are none

  bool has_unseen_holders() const;
};

struct StatusSelection {
  std::vector<std::string> names;  // empty: all that tapferry made
  bool is_all = false;             // also those that it didn't make
};

// Looks again and again, and keeps what doesn't change from one look to the next: a look is one dump of rtnetlink; processes
// are gone through when interfaces have come, gone or changed hands, and every ten seconds; so are the rules of traffic control.
class StatusObserver {
 public:
  static Result<StatusObserver> open(StatusSelection selection);

  // With rates where there was a look before. ENODEV: a name is no tap's or macvtap's, at the first look only.
  Result<StatusSnapshot> look();

 private:
  StatusObserver(StatusSelection selection, Rtnl rtnl) : selection_(std::move(selection)), rtnl_(std::move(rtnl)) {}

  struct Remembered {
    std::string name;
    bool has_carrier = false;
    std::optional<dev_t> device;  // of a macvtap
    std::optional<TrafficRules> rules;
    std::optional<std::pair<FrameCounters, FrameCounters>> counted;  // received and sent, at the last look
  };

  Status check_names(const TapLinks& links) const;
  bool is_selected(const TapLink& tap) const;
  bool remember(const TapLinks& links);
  Remembered learn(const TapLink& tap);
  InterfaceStatus describe(const TapLink& tap, const TapLinks& links);
  void find_holders_of(InterfaceStatus* interface, const Remembered& remembered) const;
  void add_rates(InterfaceStatus* interface, double interval_s);
  const std::string& user_name(uint32_t uid);

  StatusSelection selection_;
  Rtnl rtnl_;
  bool is_first_ = true;
  int64_t last_look_us_ = 0;
  int64_t last_scan_us_ = 0;
  Holders holders_;
  std::map<int, Remembered> remembered_;  // by index
  std::map<uint32_t, std::string> users_;
};

// Text for people. `width` is how many columns there are, 0: as many as it takes. What doesn't fit is left out column by
// column, and said; nothing is cut.
std::string status_table(const StatusSnapshot& snapshot, size_t width);
std::string status_paragraphs(const StatusSnapshot& snapshot);
// What could not be seen, as lines that begin with "note: "; often empty.
std::string status_notes(const StatusSnapshot& snapshot);

// One line.
std::string status_json(const StatusSnapshot& snapshot);

// The text exposition format of Prometheus, version 0.0.4.
std::string status_prometheus(const StatusSnapshot& snapshot);

// "0.5", "10": seconds with at most three decimals, from `low_ms` to an hour; in milliseconds.
std::optional<unsigned> parse_seconds(std::string_view text, unsigned low_ms);

// Of the terminal that stdout is, or as $COLUMNS says; 0: it is none.
size_t terminal_columns();

}  // namespace tapferry
