// SPDX-License-Identifier: MIT
//
// The maker: makes and opens macvtaps, which takes more than the front has kept (CAP_MKNOD, and a uid that no caller can
// signal), and speaks with the warden. It is forked at stage 1 of the --net form, before anything is parsed, becomes the
// system user tapferry, and waits on a socket pair for a decided request. When there is none for it, it goes with the front.
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "helper/privilege.h"
#include "net/link.h"
#include "net/spec.h"
#include "net/wire.h"

namespace tapferry {

// What the policy decided about a macvtap, as far as the maker has to know it.
struct MacvtapOrder {
  Spec spec;  // effective
  std::string rule_label;
  std::string rule_hash;
  std::optional<unsigned> quota_max;
  bool stays_down = false;
};

// An interface and its queues; non-blocking.
struct MadeDevice {
  int index = 0;
  std::vector<Fd> queues;
};

// The front's side.
class Maker {
 public:
  // Stage 1; forks. Only the front returns from it. Whatever the maker lacks (the user tapferry, say) is the error of the first
  // request: most need none. In its place there is a keeper where a port of Open vSwitch may be asked for (helper/ovs_keeper.h).
  static Result<Maker> start(const Identity& who, bool is_for_ovs);

  Maker(Maker&&) = default;
  // Waits a while for the maker's end, which inherited the caller's socket and stderr (as with the auditor, helper/audit.h).
  ~Maker();

  // Makes a macvtap on spec.object, ready, its queues open, the warden watching. Until this process has ended or said
  // undo(), and as long as a queue is open, it exists.
  Result<MadeDevice> make_macvtap(const MacvtapOrder& order);

  // Opens the queues of a macvtap that exists, whose character device has this number.
  Result<MadeDevice> open_device(const Spec& spec, int ifindex, dev_t device);

  // Has the warden watch over a tap that the front made, as the effective `spec` asks for (lock=on, filter=auto).
  Status watch_tap(const Spec& spec, int ifindex);

  // Of what make_macvtap() made, with persist=on: from now on it stays when its queues are closed, and the caller can open it by
  // the node /dev/tap<index>.
  Status persist();

  // Deletes a macvtap of the caller's that has persist=on by its tag, and that node.
  Status release(int ifindex);

  // Adds a tap that the front made to Open vSwitch's bridge, and has the port removed when the tap is gone. ENODEV: there is no
  // such bridge.
  Status add_ovs_port(const Spec& spec, int ifindex);

  // Deletes what make_macvtap() made, or removes the port of add_ovs_port(). The queues are to be closed before.
  Status undo();

  // The hand-over is complete: nothing is waited for but that the maker has let go of the caller's socket and stderr.
  void detach();

 private:
  Maker(Fd channel, pid_t child, Fd process)
      : channel_(std::move(channel)), child_(child), process_(std::move(process)) {}
  Status wait_until_ready();
  Result<WireMessage> ask(const std::vector<std::string>& request);

  Fd channel_;
  pid_t child_;
  Fd process_;  // of the child, pidfd_open(2), where the kernel has it
  bool is_ready_ = false;
};

// What the warden must stay for (helper/warden.h).
bool needs_warden(const Spec& spec);

}  // namespace tapferry
