// SPDX-License-Identifier: MIT
//
// The command line of tapferry-helper, as a value. Both callers' forms: QEMU's and libvirt's --br, and --net.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "net/spec.h"

namespace tapferry {

enum class Action { kHandOver, kRelease, kBringUp, kExplain, kRules, kVersion, kHelp };

struct Request {
  Action action = Action::kHandOver;
  bool is_br_form = false;
  Spec spec;
  std::string spec_text;  // for messages and the audit line; a --br request as its SPEC
  int fd = -1;            // -1: none, in the actions that need none
  std::string ifname;     // of kRelease and kBringUp; anything
  std::optional<std::string> policy_path;
};

// At least as many queues as the arguments can ask for, 1 to kMaxQueues. Stage 1 has to know how many tun descriptors to open
// before anything is parsed; this looks for "queues=" and two digits behind it only, and the parser has the last word.
unsigned most_queues_asked(int argc, char* const argv[]);

// Whether the arguments can ask for vhost-net: the same kind of look, for "vhost=on" and "vhost=auto".
bool is_vhost_asked(int argc, char* const argv[]);

// Whether they can ask for a port of Open vSwitch: in the same way, for "=ovs:".
bool may_ask_for_ovs(int argc, char* const argv[]);

// getopt_long(3) as QEMU's helper has it, so that `--br X` and `--br=X` both work; but an option twice, or an argument that is none,
// is an error.
Result<Request> parse_request(int argc, char* argv[]);

// Whether the arguments can be of the --net form, or --release: one begins as such an option does (getopt_long(3) takes
// abbreviations). Like the above for stage 1, which parses nothing.
bool may_need_maker(int argc, char* const argv[]);

// What --help prints; the first line is also the hint of a usage error.
std::string usage();

}  // namespace tapferry
