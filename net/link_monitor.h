// SPDX-License-Identifier: MIT
//
// Watching interfaces: their links and addresses by rtnetlink, their media by ethtool netlink. Needs no privilege.
//
// It hears of changes and keeps a table (net/link_monitor_table.h). The sockets of the changes are opened before the first
// state is read, so nothing falls between the two; what is heard twice changes nothing. When the kernel had to drop
// messages everything is read again, and the differences are told as changes: steps in between may be missed, the state
// that they lead to never is.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <vector>

#include "net/ethtool.h"
#include "net/link_monitor_table.h"
#include "net/rtnl.h"
#include "net/rtnl_events.h"

namespace tapferry {

struct LinkMonitorOptions {
  // Of the socket that hears of links and addresses, in bytes (RtnlEvents); 0: the default.
  size_t receive_buffer_bytes = 0;
  // Whose media are asked for, one question each; everybody's when empty.
  std::function<bool(const Link&)> wants_media;
};

class LinkMonitor {
 public:
  static Result<LinkMonitor> open(LinkMonitorOptions options);

  using Visit = std::function<void(const LinkChange&)>;
  // Reads the first state: `visit` gets every interface once (kPresent). Those that vanish meanwhile come up in read().
  Status start(const Visit& visit);

  // To poll for reading; then read().
  std::vector<int> fds() const;
  // How long to wait for fds() at most, in milliseconds as poll(2) takes it: -1, or the time after which read() tries again
  // what it couldn't finish, since the interfaces kept changing.
  int timeout_ms() const { return needs_resync_ ? kRetryMs : -1; }
  // Tells `visit` what has changed; never waits for a change.
  Status read(const Visit& visit);

  const LinkTable& table() const { return table_; }
  // Why speed and duplex aren't known, where this kernel doesn't tell them.
  const std::optional<Error>& media_error() const { return media_error_; }

 private:
  static constexpr int kRetryMs = 20;

  LinkMonitor(LinkMonitorOptions options, Rtnl rtnl, RtnlEvents events)
      : options_(std::move(options)), rtnl_(std::move(rtnl)), events_(std::move(events)) {}
  void open_media();
  Result<LinkTable::Interfaces> read_everything();
  Status resynchronise(const Visit& visit);
  Status read_media_events();
  std::optional<Media> media_of(const Link& link);
  void refresh_media(const Visit& visit);
  void tell(const LinkChange& change, const Visit& visit);

  LinkMonitorOptions options_;
  Rtnl rtnl_;
  RtnlEvents events_;
  std::optional<Ethtool> ethtool_;
  std::optional<RtnlEvents> media_events_;
  std::optional<Error> media_error_;
  LinkTable table_;
  std::set<int> stale_media_;  // by index: to be asked for
  bool needs_resync_ = false;
};

}  // namespace tapferry
