// SPDX-License-Identifier: MIT
//
// Neighbouring frames of one flow, made into one GSO frame, since the host's stack pays by the frame.
//
// Works on one burst that is already there and never waits. The sender gives it the frames in order; what comes out is the same
// sequence of frames in which runs of neighbours are replaced by one, so order across flows holds. A receiver that segments again
// (or the kernel on its way) sees byte for byte the frames that went in. The rules are in vhost/merge_rules.h.
//
// The guest can change its memory at any time: what is merged is copied to private memory first, and then checked there.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <sys/uio.h>

#include "vhost/engine.h"

namespace tapferry {

// Which GSO types the tap's side takes, as probed.
struct MergeTypes {
  bool tcp4 = false;
  bool tcp6 = false;
  bool udp = false;  // VIRTIO_NET_HDR_GSO_UDP_L4, Linux 6.2

  bool any() const { return tcp4 || tcp6 || udp; }
};

struct MergeCounters {
  uint64_t frames_merged = 0;  // that went into a GSO frame
  uint64_t frames_made = 0;    // GSO frames
};

class Coalescer {
 public:
  // `header_bytes`: of the vnet header before each frame, 10 or 12. Memory (256 KiB) is reserved here and touched as far as bursts
  // need it; without any, nothing is merged.
  Coalescer(MergeTypes types, unsigned header_bytes);
  ~Coalescer();
  Coalescer(const Coalescer&) = delete;
  Coalescer& operator=(const Coalescer&) = delete;

  // `frames[i].pieces` hold header and frame; at most kMaxBurst. Writes to `out` (room for as many) the frames to write instead,
  // and to `covers[k]` how many of `frames` out[k] stands for (their sum is frames.size()). Returns how many. out[k] points to
  // the same pieces, or to private memory that stays until the next call.
  unsigned merge(std::span<const FrameIo> frames, std::span<FrameIo> out, std::span<uint16_t> covers);

  const MergeCounters& counters() const { return counters_; }

 private:
  struct State;

  std::unique_ptr<State> state_;
  MergeCounters counters_;
};

}  // namespace tapferry
