// SPDX-License-Identifier: MIT
//
// The network device as a front-end sets it up: features, guest memory, rings, the dirty log; and the threads that use them.
//
// Threads move frames while requests come in. Each change here parks those that it concerns, makes it, and lets them go on
// (vhost/worker.h), so none of them ever sees half of it. The memory and the log are of all threads; a ring is of one.
//
// Not for use by several threads at once: it is the main thread's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "vhost/dirty_log.h"
#include "vhost/memory.h"
#include "vhost/net_features.h"
#include "vhost/state_file.h"
#include "vhost/worker.h"

namespace tapferry {

// SET_VRING_ADDR, in the front-end's addresses.
struct RingAddresses {
  uint64_t desc_uva = 0;
  uint64_t used_uva = 0;
  uint64_t avail_uva = 0;
  uint64_t used_gpa = 0;   // where writes to the used ring are logged
  bool logs_used = false;  // VHOST_VRING_F_LOG
};

// What a device is made of; tests and fuzzers give it workers without threads and a tap that is none.
struct NetDeviceParts {
  std::vector<std::unique_ptr<Worker>> workers;  // one for each queue pair, parked
  NetAbilities abilities;
  // TUN_F_* offloads and the vnet header's length, set on the tap.
  std::function<Status(unsigned tun_f, unsigned header_bytes)> set_tap;
  StateFile state;
  std::function<void(const Error&)> say;  // what went wrong without being a request's failure
};

class NetDevice {
 public:
  explicit NetDevice(NetDeviceParts parts);
  ~NetDevice();
  NetDevice(const NetDevice&) = delete;
  NetDevice& operator=(const NetDevice&) = delete;

  const NetAbilities& abilities() const { return parts_.abilities; }
  unsigned rings() const { return static_cast<unsigned>(rings_.size()); }
  bool is_started(unsigned ring) const { return rings_[ring].is_started; }
  bool has_features() const { return has_features_; }
  uint64_t features() const { return features_; }
  const GuestMemory& memory() const { return memory_; }

  // What was offered, checked by the caller's check_features(). While a ring runs only LOG_ALL can change.
  Status set_features(uint64_t acked);
  // The tap's MTU has changed.
  void set_mtu(unsigned mtu);

  // Rings that aren't in memory any more stop, which is said and no error of these.
  Status set_memory(const std::vector<RegionSpec>& regions, std::vector<Fd> fds);
  Status add_region(const RegionSpec& region, Fd fd);
  Status remove_region(const RegionSpec& region);
  Status set_log(uint64_t size, uint64_t offset, Fd fd);

  // Of a ring; receive rings have even numbers, send rings odd ones (virtio 1.2, 5.1.2). `ring` is below rings().
  Status set_size(unsigned ring, uint32_t entries);
  Status set_addresses(unsigned ring, const RingAddresses& addresses);
  void set_base(unsigned ring, uint32_t base);
  // Starts the ring, or gives it another descriptor while it runs. The error's code is ESTALE for a packed ring of which nobody
  // knows how far it was used: it stays stopped until the guest has set it up again.
  Status set_kick(unsigned ring, Fd fd);
  Status set_call(unsigned ring, Fd fd);  // none: the guest isn't notified
  Status set_err(unsigned ring, Fd fd);
  void enable(unsigned ring, bool is_enabled);
  // What GET_VRING_BASE answers.
  uint32_t stop(unsigned ring);

  // To the tap, from the first queue.
  Status send_to_tap(const void* frame, size_t bytes);

  // RESET_DEVICE, and a status of 0: rings and features as at the beginning. Memory stays, since the front-end goes on with it.
  void reset();
  // The front-end has gone. What its rings had come to stays on record.
  void forget_front_end();

  const std::vector<std::unique_ptr<Worker>>& workers() const { return parts_.workers; }

 private:
  struct Ring {
    VirtqueueConfig config;
    bool has_addresses = false;
    bool is_started = false;
  };
  class Parked;

  DeviceQueue& queue(unsigned ring);
  Worker& worker_of(unsigned ring) { return *parts_.workers[ring / 2]; }
  DirtyLog* log_in_use();
  Status start(unsigned ring);
  Status find_split_start(unsigned ring);
  Status find_packed_start(unsigned ring);
  Status restart(unsigned ring, const RingAddresses& addresses);
  void stop_all();
  void apply_rules();
  void apply_memory();
  void put_away_tap();

  NetDeviceParts parts_;
  std::vector<Ring> rings_;
  GuestMemory memory_;
  DirtyLog log_;
  uint64_t features_ = 0;
  bool has_features_ = false;
};

}  // namespace tapferry
