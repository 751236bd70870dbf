// SPDX-License-Identifier: MIT
#include "tests/lib/front/guest.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#define VIRTIO_RING_NO_LEGACY
#include <linux/vhost_types.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/syscall.h"
#include "tests/lib/front/feature_bits.h"

namespace tapferry::front {
namespace {

constexpr uint64_t kLogPage = 4096;

struct RegionMessage {
  uint64_t gpa, size, uva, offset;
};

template <typename T>
std::string bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

RegionMessage message_of(const GuestRegion& region, uint64_t uva) {
  return {region.gpa, region.size, uva, region.offset};
}

}  // namespace

Result<std::unique_ptr<Guest>> Guest::make() {
  auto memory = TRY(GuestMemoryFile::make());
  return std::unique_ptr<Guest>(new Guest(std::move(memory)));
}

Status Guest::negotiate() {
  offered_ = TRY(client_->query_u64(kGetFeatures));
  features_ = offered_ & options_.features & ~kLogAllBit;  // that one is start_log()'s
  protocol_ = 0;
  queue_limit_ = 1;
  client_->use_acks(false);
  if (features_ & kProtocolFeaturesBit) {
    protocol_ = TRY(client_->query_u64(kGetProtocolFeatures))
    &options_.protocol;
    TRY(client_->command_u64(kSetProtocolFeatures, protocol_));
    client_->use_acks((protocol_ & kProtocolReplyAck) != 0);
    if (protocol_ & kProtocolMq) queue_limit_ = TRY(client_->query_u64(kGetQueueNum));
  }
  TRY(client_->command(kSetOwner, {}));
  return client_->command_u64(kSetFeatures, features_);
}

Status Guest::make_rings() {
  memory_->release_all();
  pairs_.clear();
  RingOptions ring;
  ring.size = options_.ring_size;
  ring.indirect_entries = options_.indirect_entries;
  ring.is_packed = has(kRingPacked);
  ring.has_event_idx = has(kEventIdx);
  ring.is_in_order = has(kInOrder);
  const bool is_mergeable = has(kMrgRxbuf);
  const unsigned header_bytes = has(kVersion1) || is_mergeable ? 12 : 10;
  vrings_.clear();
  for (unsigned i = 0; i < options_.pairs; ++i) {
    pairs_.push_back(TRY(NetDriver::make(ring, header_bytes, is_mergeable, memory_.get())));
    vrings_.resize(vrings_.size() + 2);
  }
  return {};
}

Status Guest::start(const GuestOptions& options) {
  options_ = options;
  TRY(negotiate());
  TRY(make_rings());
  TRY(share_memory());
  for (unsigned i = 0; i < vrings_.size(); ++i) TRY(start_vring(i, ring(i).initial_base()));
  for (unsigned i = 0; i < vrings_.size() && !options_.leaves_rings_alone; ++i) TRY(enable_vring(i, true));
  constexpr uint64_t kDriverOk = 15;  // virtio 1.2, 2.1: ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK
  if (protocol_ & kProtocolStatus) TRY(client_->command_u64(kSetStatus, kDriverOk));
  return {};
}

Status Guest::resume(std::optional<uint32_t> base) {
  TRY(negotiate());
  TRY(share_memory());
  for (unsigned i = 0; i < vrings_.size(); ++i) TRY(start_vring(i, base.value_or(ring(i).resume_base())));
  for (unsigned i = 0; i < vrings_.size(); ++i) TRY(enable_vring(i, true));
  return {};
}

Status Guest::share_memory() {
  if (protocol_ & kProtocolMemSlots) {
    TRY(client_->query_u64(kGetMaxMemSlots));
    for (const GuestRegion& region : memory_->regions()) {
      const int fd = region.file.get();
      const std::string payload = u64_bytes(0) + bytes_of(message_of(region, memory_->uva_of(region.gpa)));
      TRY(client_->command(kAddMemReg, payload, {&fd, 1}));
    }
    return {};
  }
  std::string payload = u64_bytes(memory_->regions().size());
  std::vector<int> fds;
  for (const GuestRegion& region : memory_->regions()) {
    payload += bytes_of(message_of(region, memory_->uva_of(region.gpa)));
    fds.push_back(region.file.get());
  }
  return client_->command(kSetMemTable, payload, fds);
}

Status Guest::add_region(uint64_t gpa, uint64_t size) {
  TRY(memory_->add(gpa, size));
  if ((protocol_ & kProtocolMemSlots) == 0) return share_memory();
  const int fd = memory_->regions().back().file.get();
  const RegionMessage region = message_of(memory_->regions().back(), memory_->uva_of(gpa));
  return client_->command(kAddMemReg, u64_bytes(0) + bytes_of(region), {&fd, 1});
}

Status Guest::remove_region(size_t index) {
  if (index >= memory_->regions().size()) return Error("remove", "guest memory", "no such region");
  const GuestRegion& old = memory_->regions()[index];
  const RegionMessage region = message_of(old, memory_->uva_of(old.gpa));
  if (protocol_ & kProtocolMemSlots) {
    TRY(client_->command(kRemMemReg, u64_bytes(0) + bytes_of(region)));
    return memory_->remove(index);
  }
  TRY(memory_->remove(index));
  return share_memory();
}

Status Guest::send_address(unsigned vring, bool is_logged) {
  const RingAddresses& at = ring(vring).addresses();
  vhost_vring_addr message = {};
  message.index = vring;
  message.flags = is_logged ? 1 << VHOST_VRING_F_LOG : 0;
  message.desc_user_addr = memory_->uva_of(at.desc);
  message.avail_user_addr = memory_->uva_of(at.avail);
  message.used_user_addr = memory_->uva_of(at.used);
  // What the device writes: split: the used ring; packed: the descriptors.
  message.log_guest_addr = has(kRingPacked) ? at.desc : at.used;
  return client_->command(kSetVringAddr, bytes_of(message));
}

Status Guest::start_vring(unsigned vring, uint32_t base) {
  Vring& state = vrings_[vring];
  for (Fd* fd : {&state.kick, &state.call, &state.err}) {
    *fd = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fd->is_open()) return Error::from_errno("make", "an eventfd", errno);
  }
  const int kick = state.kick.get(), call = state.call.get(), err = state.err.get();
  TRY(client_->command_vring(kSetVringNum, vring, ring(vring).size()));
  TRY(client_->command_vring(kSetVringBase, vring, base));
  TRY(send_address(vring, false));
  TRY(client_->command_u64(kSetVringErr, vring, {&err, 1}));
  TRY(client_->command_u64(kSetVringKick, vring, {&kick, 1}));
  return client_->command_u64(kSetVringCall, vring, {&call, 1});
}

Result<uint32_t> Guest::stop_vring(unsigned vring) {
  const uint32_t payload[2] = {vring, 0};
  const Message reply = TRY(client_->query(kGetVringBase, bytes_of(payload)));
  uint32_t state[2];
  if (reply.payload.size() != sizeof state) return Error("stop", "a vring", "the reply isn't 8 bytes");
  memcpy(state, reply.payload.data(), sizeof state);
  return state[1];
}

Status Guest::enable_vring(unsigned vring, bool on) {
  if ((features_ & kProtocolFeaturesBit) == 0) return {};
  return client_->command_vring(kSetVringEnable, vring, on ? 1 : 0);
}

Status Guest::start_log() {
  uint64_t end = 0;
  for (const GuestRegion& region : memory_->regions()) end = std::max(end, region.gpa + region.size);
  Log log;
  log.size = (end / kLogPage / 8 + kLogPage) & ~(kLogPage - 1);
  log.file = Fd(memfd_create("dirty-log", MFD_CLOEXEC));
  if (!log.file.is_open() || ftruncate(log.file.get(), static_cast<off_t>(log.size)) != 0) {
    return Error::from_errno("make", "the dirty log", errno);
  }
  void* bits = mmap(nullptr, log.size, PROT_READ | PROT_WRITE, MAP_SHARED, log.file.get(), 0);
  if (bits == MAP_FAILED) return Error::from_errno("map", "the dirty log", errno);
  log.bits = static_cast<uint8_t*>(bits);
  const uint64_t payload[2] = {log.size, 0};
  const int fd = log.file.get();
  TRY(client_->query(kSetLogBase, bytes_of(payload), {&fd, 1}));
  log_ = std::move(log);
  TRY(client_->command_u64(kSetFeatures, features_ | kLogAllBit));
  for (unsigned i = 0; i < vrings_.size(); ++i) TRY(send_address(i, true));
  return {};
}

Status Guest::stop_log() {
  TRY(client_->command_u64(kSetFeatures, features_));
  for (unsigned i = 0; i < vrings_.size(); ++i) TRY(send_address(i, false));
  return {};
}

Status Guest::truncate_log() {
  if (!log_.has_value() || ftruncate(log_->file.get(), 0) != 0)
    return Error("truncate", "the dirty log", "there is none");
  munmap(log_->bits, log_->size);
  log_.reset();
  return {};
}

std::vector<uint64_t> Guest::take_dirty_pages() {
  std::vector<uint64_t> pages;
  for (size_t byte = 0; log_.has_value() && byte < log_->size; ++byte) {
    if (log_->bits[byte] == 0) continue;
    const uint8_t bits = __atomic_exchange_n(&log_->bits[byte], uint8_t{0}, __ATOMIC_SEQ_CST);
    for (unsigned bit = 0; bit < 8; ++bit) {
      if (bits >> bit & 1) pages.push_back(byte * 8 + bit);
    }
  }
  return pages;
}

void Guest::kick(unsigned vring) {
  const uint64_t one = 1;
  (void)!write(vrings_[vring].kick.get(), &one, sizeof one);
}

bool Guest::wait_call(unsigned vring, int timeout_ms) {
  pollfd waiting = {vrings_[vring].call.get(), POLLIN, 0};
  if (retry_on_eintr([&] { return poll(&waiting, 1, timeout_ms); }) <= 0) return false;
  uint64_t count = 0;
  if (read(waiting.fd, &count, sizeof count) == sizeof count) vrings_[vring].calls += count;
  return true;
}

}  // namespace tapferry::front
