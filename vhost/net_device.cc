// SPDX-License-Identifier: MIT
#include "vhost/net_device.h"

#include <sys/stat.h>

#include "base/syscall.h"
#include "vhost/guest_access.h"
#include "vhost/ring_layout.h"

namespace tapferry {
namespace {

std::string name_of(unsigned ring) { return "ring " + std::to_string(ring); }

// A receive or a send queue's index among those of its kind says nothing to a reader; this does.
bool is_receive(unsigned ring) { return ring % 2 == 0; }

// An eventfd (which has no file type) or a pipe, as the protocol has it. Non-blocking, so that whoever let it fill up stops
// nobody; a regular file would be ready all the time.
Status check_event_fd(const Fd& fd) {
  struct stat status;
  if (fstat(fd.get(), &status) != 0) return Error::from_errno("look at", "a descriptor", errno);
  const auto type = status.st_mode & S_IFMT;
  if (type != 0 && type != S_IFIFO) return Error("use", "a ring's descriptor", "neither an eventfd nor a pipe");
  return set_nonblocking(fd.get(), true);
}

// A back-end before this one may have published buffers and died before it could say so.
void notify_once(const DeviceQueue& queue) {
  const uint64_t one = 1;
  // A full eventfd has told it already.
  if (queue.call.is_open())
    (void)write_all(queue.call.get(), {reinterpret_cast<const char*>(&one), sizeof one}, "").is_ok();
}

}  // namespace

// All threads, or that of one ring, parked for as long as this lives.
class NetDevice::Parked {
 public:
  explicit Parked(NetDevice& device) : workers_(device.parts_.workers.data()), count_(device.parts_.workers.size()) {
    for (size_t i = 0; i < count_; ++i) workers_[i]->park();
  }
  Parked(NetDevice& device, unsigned ring) : workers_(&device.parts_.workers[ring / 2]), count_(1) {
    workers_[0]->park();
  }
  ~Parked() {
    for (size_t i = 0; i < count_; ++i) workers_[i]->resume();
  }
  Parked(const Parked&) = delete;
  Parked& operator=(const Parked&) = delete;

 private:
  std::unique_ptr<Worker>* workers_;
  size_t count_;
};

NetDevice::NetDevice(NetDeviceParts parts) : parts_(std::move(parts)), rings_(parts_.workers.size() * 2) {
  apply_rules();
  for (const auto& worker : parts_.workers) {
    worker->set_memory(&memory_, nullptr);
    worker->resume();
  }
}

// The threads use memory and log, which go before the parts do.
NetDevice::~NetDevice() { parts_.workers.clear(); }

DeviceQueue& NetDevice::queue(unsigned ring) {
  Worker& worker = worker_of(ring);
  return is_receive(ring) ? worker.rx() : worker.tx();
}

DirtyLog* NetDevice::log_in_use() { return has(features_, Feature::kLogAll) && log_.is_mapped() ? &log_ : nullptr; }

void NetDevice::apply_rules() {
  const FrameRules rules = frame_rules(features_, parts_.abilities);
  for (const auto& worker : parts_.workers) worker->set_rules(rules);
}

// All parked.
void NetDevice::apply_memory() {
  for (const auto& worker : parts_.workers) worker->set_memory(&memory_, log_in_use());
  for (unsigned ring = 0; ring < rings(); ++ring) {
    if (!rings_[ring].is_started) continue;
    const Status found = queue(ring).ring.relocate(&memory_, log_in_use());
    if (found.is_ok()) continue;
    rings_[ring].is_started = false;
    parts_.say(Error("go on with", name_of(ring), found.error().reason()));
  }
}

Status NetDevice::set_features(uint64_t acked) {
  const uint64_t changed = acked ^ features_;
  for (unsigned ring = 0; ring < rings(); ++ring) {
    if (rings_[ring].is_started && (changed & ~bit(Feature::kLogAll)) != 0) {
      return Error("do", "SET_FEATURES", "they change while " + name_of(ring) + " is running");
    }
  }
  const Parked parked(*this);
  if (tap_offloads(acked) != tap_offloads(features_) || !has_features_) {
    TRY(parts_.set_tap(tap_offloads(acked), frame_rules(acked, parts_.abilities).header_bytes));
  }
  features_ = acked;
  has_features_ = true;
  apply_rules();
  apply_memory();
  // Without the extension there is no SET_VRING_ENABLE.
  if (!has(acked, Feature::kProtocolFeatures)) {
    for (unsigned ring = 0; ring < rings(); ++ring) queue(ring).is_enabled = true;
  }
  return {};
}

void NetDevice::set_mtu(unsigned mtu) {
  const Parked parked(*this);
  parts_.abilities.mtu = mtu;
  apply_rules();
}

Status NetDevice::set_memory(const std::vector<RegionSpec>& regions, std::vector<Fd> fds) {
  const Parked parked(*this);
  Status replaced = memory_.replace(regions, std::move(fds));
  apply_memory();
  return replaced;
}

Status NetDevice::add_region(const RegionSpec& region, Fd fd) {
  const Parked parked(*this);
  TRY(memory_.add(region, std::move(fd)));
  apply_memory();
  return {};
}

Status NetDevice::remove_region(const RegionSpec& region) {
  const Parked parked(*this);
  TRY(memory_.remove(region));
  apply_memory();
  return {};
}

Status NetDevice::set_log(uint64_t size, uint64_t offset, Fd fd) {
  const Parked parked(*this);
  Status mapped = log_.set(size, offset, std::move(fd));
  apply_memory();
  return mapped;
}

Status NetDevice::set_size(unsigned ring, uint32_t entries) {
  if (entries == 0 || entries > kMaxQueueSize) {
    return Error("use", name_of(ring), std::to_string(entries) + " entries, not 1 to " + std::to_string(kMaxQueueSize));
  }
  rings_[ring].config.size = entries;
  return {};
}

Status NetDevice::set_addresses(unsigned ring, const RingAddresses& addresses) {
  Ring& ours = rings_[ring];
  if (ours.is_started) return restart(ring, addresses);
  ours.config.desc_uva = addresses.desc_uva;
  ours.config.avail_uva = addresses.avail_uva;
  ours.config.used_uva = addresses.used_uva;
  ours.config.used_gpa = addresses.used_gpa;
  ours.config.logs_used = addresses.logs_used;
  ours.has_addresses = true;
  return {};
}

// A running ring gets its addresses again when logging begins or ends.
Status NetDevice::restart(unsigned ring, const RingAddresses& addresses) {
  VirtqueueConfig& config = rings_[ring].config;
  if (addresses.desc_uva != config.desc_uva || addresses.avail_uva != config.avail_uva ||
      addresses.used_uva != config.used_uva) {
    return Error("move", name_of(ring), "it is running");
  }
  const Parked parked(*this, ring);
  Virtqueue& virtqueue = queue(ring).ring;
  config.base = virtqueue.stop();
  config.resumes = false;
  config.used_gpa = addresses.used_gpa;
  config.logs_used = addresses.logs_used;
  Status started = virtqueue.start(config, &memory_, log_in_use());
  rings_[ring].is_started = started.is_ok();
  return started;
}

void NetDevice::set_base(unsigned ring, uint32_t base) { rings_[ring].config.base = base; }

Status NetDevice::set_kick(unsigned ring, Fd fd) {
  if (!fd.is_open()) {
    return Error("start", name_of(ring), "without a kick descriptor it would have to be polled, which isn't done");
  }
  TRY(check_event_fd(fd));
  const Parked parked(*this, ring);
  queue(ring).kick = std::move(fd);
  if (rings_[ring].is_started) return {};
  Status started = start(ring);
  if (!started.is_ok()) queue(ring).kick.reset();
  return started;
}

Status NetDevice::set_call(unsigned ring, Fd fd) {
  if (fd.is_open()) TRY(check_event_fd(fd));
  const Parked parked(*this, ring);
  queue(ring).call = std::move(fd);
  if (rings_[ring].is_started) notify_once(queue(ring));
  return {};
}

Status NetDevice::set_err(unsigned ring, Fd fd) {
  if (fd.is_open()) TRY(check_event_fd(fd));
  const Parked parked(*this, ring);
  queue(ring).err = std::move(fd);
  return {};
}

void NetDevice::enable(unsigned ring, bool is_enabled) {
  const Parked parked(*this, ring);
  queue(ring).is_enabled = is_enabled;
}

Status NetDevice::start(unsigned ring) {
  Ring& ours = rings_[ring];
  VirtqueueConfig& config = ours.config;
  if (config.size == 0 || !ours.has_addresses) {
    return Error("start", name_of(ring), "SET_VRING_NUM and SET_VRING_ADDR have not come yet");
  }
  config.is_packed = has(features_, Feature::kRingPacked);
  config.has_event_idx = has(features_, Feature::kEventIdx);
  config.has_indirect = has(features_, Feature::kIndirectDesc);
  config.is_in_order = has(features_, Feature::kInOrder);
  config.is_send = !is_receive(ring);
  config.progress = nullptr;
  config.resumes = false;
  if (config.is_packed) {
    TRY(find_packed_start(ring));
  } else {
    TRY(find_split_start(ring));
  }
  TRY(queue(ring).ring.start(config, &memory_, log_in_use()));
  ours.is_started = true;
  notify_once(queue(ring));
  if (config.is_packed) parts_.state.ring(ring).running = RingRecord::kRunning;
  return {};
}

// What was taken and not used is taken again, so the used index is where the ring goes on. The front-end's base is the same number,
// but for one that has lost its back-end and doesn't know: QEMU looks at the used index itself, DPDK's gives 0.
Status NetDevice::find_split_start(unsigned ring) {
  VirtqueueConfig& config = rings_[ring].config;
  const RingPlace place = {"used ring", config.used_uva, sizeof(vring_used), VRING_USED_ALIGN_SIZE};
  const uint8_t* used = TRY(find_ring(place, memory_));
  config.base = guest_load(&reinterpret_cast<const vring_used*>(used)->idx);
  return {};
}

// Where the ring goes on, and the record begins.
Status NetDevice::find_packed_start(unsigned ring) {
  VirtqueueConfig& config = rings_[ring].config;
  const RingPlace place = {"descriptor ring", config.desc_uva, uint64_t{config.size} * sizeof(PackedSlot),
                           VRING_DESC_ALIGN_SIZE};
  const uint8_t* memory = TRY(find_ring(place, memory_));
  RingRecord& record = parts_.state.ring(ring);
  const std::span slots(reinterpret_cast<const PackedSlot*>(memory), config.size);
  const uint32_t begin = packed_base(config.base);
  auto how = packed_start(begin, config.desc_uva, slots, record);
  if (!how.is_ok()) {
    const Error& why = how.error();
    return Error::from_errno("start", name_of(ring), why.code()).with_reason(why.reason()).with_hint(why.hint());
  }
  config.base = begin;
  config.resumes = how.value() == PackedStart::kResume;
  config.progress = &record.progress;
  record.desc_uva = config.desc_uva;
  record.size = config.size;
  record.begin = begin;
  return {};
}

uint32_t NetDevice::stop(unsigned ring) {
  const Parked parked(*this, ring);
  Ring& ours = rings_[ring];
  DeviceQueue& theirs = queue(ring);
  // One that broke, or that isn't in memory any more, still says where it was.
  if (ours.is_started) ours.config.base = theirs.ring.stop();
  ours.is_started = false;
  theirs.kick.reset();
  parts_.state.ring(ring).running = 0;
  return ours.config.base;
}

Status NetDevice::send_to_tap(const void* frame, size_t bytes) {
  return parts_.workers.front()->send_to_tap(frame, bytes);
}

// All parked. The frames of one guest are not the next one's.
void NetDevice::stop_all() {
  for (unsigned ring = 0; ring < rings(); ++ring) {
    if (rings_[ring].is_started) queue(ring).ring.stop();
    queue(ring) = DeviceQueue();
    rings_[ring] = Ring();
  }
  for (const auto& worker : parts_.workers) worker->forget_pending();
}

void NetDevice::put_away_tap() {
  features_ = 0;
  has_features_ = false;
  apply_rules();
  const Status set = parts_.set_tap(0, frame_rules(0, parts_.abilities).header_bytes);
  if (!set.is_ok()) parts_.say(set.error());
}

void NetDevice::reset() {
  const Parked parked(*this);
  stop_all();
  for (unsigned ring = 0; ring < rings(); ++ring) parts_.state.ring(ring).running = 0;
  put_away_tap();
  apply_memory();
}

void NetDevice::forget_front_end() {
  const Parked parked(*this);
  stop_all();
  put_away_tap();
  memory_.clear();
  log_.clear();
  apply_memory();
}

}  // namespace tapferry
