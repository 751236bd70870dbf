// SPDX-License-Identifier: MIT
//
// Frames from a tap's queues to the echo guest and back, and into a capture file: one frame a read, one a write.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/pcap.h"
#include "tools/echo.h"

namespace tapferry {

struct FrameLoopOptions {
  std::vector<int> queues;     // made non-blocking
  unsigned vnet_hdr_sz = 0;    // bytes before each frame
  EchoGuest* guest = nullptr;  // null: frames are only captured
  PcapWriter* pcap = nullptr;  // null: no capture
  int stop_fd = -1;            // ends when it is readable (tools/stop_signals.h)
  uint64_t count = 0;          // ends after so many echo answers, or frames without a guest; 0: doesn't
  unsigned duration_s = 0;     // ends after so many seconds; 0: doesn't
};

struct FrameTally {
  uint64_t frames_in = 0;
  uint64_t frames_out = 0;
  uint64_t arp = 0;  // answers by kind
  uint64_t neighbour = 0;
  uint64_t echo = 0;
  uint64_t errors = 0;  // short reads and writes, malformed frames; each was named on stderr, up to a limit
};

// Until the stop, the count or the duration. An error when the interface is gone or the file can't be written.
Result<FrameTally> exchange_frames(const FrameLoopOptions& options);

}  // namespace tapferry
