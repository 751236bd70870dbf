// SPDX-License-Identifier: MIT
//
// front_end --load=KIND: traffic for benchmarks, without a test's commands in between. One JSON line at the end.
//
//   tx      the guest sends as fast as the backend takes it, or at a rate
//   rx      the guest takes what comes and posts the same buffers again, in ring order
//   echo    the guest sends back what comes
//   ping    the guest sends one frame and waits for one; round trips are timed
//   inject  the host sends into an interface (AF_PACKET), for the other three
//   bounce  the host sends back what comes out of an interface
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/json.h"

namespace tapferry::front {

struct LoadOptions {
  std::string kind;
  std::string socket;     // of the backend
  std::string interface;  // inject, bounce
  unsigned frame_bytes = 64;
  std::string content = "raw";  // what frames hold: raw (an EtherType that nobody knows), udp, tcp
  unsigned flows = 1;           // of udp and tcp: neighbours belong to different ones if more than one
  bool has_full_checksums = false;
  unsigned gso_size = 0;  // tcp: 0: no GSO
  unsigned burst = 16;
  double rate = 0;  // frames a second; 0: all that goes
  double seconds = 3;
  bool is_packed = false;
  bool is_in_order = false;
  bool is_mergeable = false;
  bool has_own_header = false;
  bool has_offloads = false;  // the guest takes GSO frames and partial checksums
  bool sleeps = false;        // waits for the backend's signal instead of looking all the time
  bool listens = false;       // for a backend that connects
  unsigned ring_size = 256;
  unsigned slots = 0;       // buffers that are cycled; 0: as many as the ring has places
  unsigned slot_bytes = 0;  // from one to the next; 0: 4096, or more if a frame needs it
  int cpu = -1;
};

struct LoadResult {
  uint64_t frames = 0;  // that the other side has taken, or that came
  uint64_t bytes = 0;   // without virtio-net headers
  uint64_t bursts = 0;
  uint64_t kicks = 0;
  uint64_t calls = 0;
  double seconds = 0;
  double cpu_seconds = 0;
  std::vector<uint32_t> round_trips_ns;
};

Status load_guest(const LoadOptions& options, LoadResult* result);  // load_guest.cc
Status load_host(const LoadOptions& options, LoadResult* result);   // load_host.cc

// Exit status.
int run_load(int argc, char** argv);

}  // namespace tapferry::front
