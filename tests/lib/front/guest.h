// SPDX-License-Identifier: MIT
//
// A guest with a network device: its memory, its drivers, and the vhost-user connection by which a backend serves them, set up
// in the order in which QEMU does it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/lib/front/guest_memory_file.h"
#include "tests/lib/front/net_driver.h"
#include "tests/lib/front/vhost_client.h"

namespace tapferry::front {

inline constexpr uint64_t kProtocolFeaturesBit = uint64_t{1} << 30;
inline constexpr uint64_t kLogAllBit = uint64_t{1} << 26;

struct GuestOptions {
  uint64_t features = 0;  // wanted; what the backend doesn't offer is left out
  uint64_t protocol = 0;
  unsigned pairs = 1;
  unsigned ring_size = 256;
  unsigned indirect_entries = 32;
  bool leaves_rings_alone = false;  // none is enabled: a test does that
};

class Guest {
 public:
  static Result<std::unique_ptr<Guest>> make();

  GuestMemoryFile& memory() { return *memory_; }
  VhostClient& client() { return *client_; }
  bool is_connected() const { return client_.has_value(); }
  void connect(VhostClient client) { client_ = std::move(client); }
  void disconnect() { client_.reset(); }

  // Features, memory, rings; receive buffers are the caller's to post. After it the backend has all that it needs.
  Status start(const GuestOptions& options);
  // With another connection, the rings as they stand. `base` of each ring instead of resume_base() if given.
  Status resume(std::optional<uint32_t> base);

  Status share_memory();
  // Also tells the backend.
  Status add_region(uint64_t gpa, uint64_t size);
  Status remove_region(size_t index);
  Status start_vring(unsigned vring, uint32_t base);
  Result<uint32_t> stop_vring(unsigned vring);
  Status enable_vring(unsigned vring, bool on);

  // Dirty pages: a bitmap, in which the backend sets bits from now on.
  Status start_log();
  Status stop_log();
  Status truncate_log();  // under the backend: what it maps is gone
  // Page numbers that were marked since the last call.
  std::vector<uint64_t> take_dirty_pages();

  void kick(unsigned vring);
  // Waits for the backend's signal and takes it. False after `timeout_ms`.
  bool wait_call(unsigned vring, int timeout_ms);
  uint64_t calls(unsigned vring) const { return vrings_[vring].calls; }

  NetDriver& pair(unsigned index) { return *pairs_[index]; }
  unsigned pair_count() const { return static_cast<unsigned>(pairs_.size()); }
  DriverRing& ring(unsigned vring) { return vring % 2 == 0 ? pair(vring / 2).rx() : pair(vring / 2).tx(); }
  uint64_t offered() const { return offered_; }
  uint64_t features() const { return features_; }
  uint64_t protocol() const { return protocol_; }
  uint64_t queue_limit() const { return queue_limit_; }
  bool has(unsigned feature_bit) const { return (features_ >> feature_bit & 1) != 0; }

 private:
  struct Vring {
    Fd kick, call, err;
    uint64_t calls = 0;
  };
  struct Log {
    Fd file;
    uint8_t* bits = nullptr;
    size_t size = 0;
  };

  explicit Guest(std::unique_ptr<GuestMemoryFile> memory) : memory_(std::move(memory)) {}
  Status negotiate();
  Status make_rings();
  Status send_address(unsigned vring, bool is_logged);

  std::unique_ptr<GuestMemoryFile> memory_;
  std::optional<VhostClient> client_;
  GuestOptions options_;
  std::vector<std::unique_ptr<NetDriver>> pairs_;
  std::vector<Vring> vrings_;
  std::optional<Log> log_;
  uint64_t offered_ = 0, features_ = 0, protocol_ = 0, queue_limit_ = 1;
};

}  // namespace tapferry::front
