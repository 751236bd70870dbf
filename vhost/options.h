// SPDX-License-Identifier: MIT
//
// The command line of tapferry-vhost.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/spec.h"
#include "vhost/engine.h"

namespace tapferry {

struct VhostOptions {
  // What is printed instead of anything else.
  enum class Print { kNothing, kHelp, kVersion, kCapabilities };
  Print print = Print::kNothing;
  std::string help;  // kHelp

  std::optional<std::string> socket_path;
  int socket_fd = -1;

  std::optional<Spec> net;  // with the queues of --queues
  std::string helper;
  std::vector<int> tap_fds;

  EngineKind engine = EngineKind::kAuto;
  bool has_coalescing = true;
  unsigned busy_poll_us = 0;
  bool follows_link = false;

  unsigned stats_seconds = 0;  // 0: none
  bool has_json_stats = false;
  std::optional<std::string> pcap;

  int state_fd = -1;
  int supervisor_fd = -1;
};

Result<VhostOptions> parse_vhost_options(int argc, char** argv);

}  // namespace tapferry
