// SPDX-License-Identifier: MIT
//
// A virtqueue in the hands of a hostile guest. The input sets up a ring, split or packed, anywhere in a small guest memory, and
// is then a program: the guest writes descriptors, tables, indexes or any two bytes, the device takes, uses, gives back,
// publishes, asks for kicks, and is stopped and started. Whatever happens:
//
//   no access is outside of the mapped regions (pages that can't be touched lie between them)
//   a chain's pieces are inside regions, no more than there is room for, readable ones first, and as long as it says
//   split: chains come in the order of the available ring
//   no more is in flight than the ring has entries
//   the base is the first one plus what was used
//   what is broken stays broken until the next start
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "vhost/ring_layout.h"
#include "vhost/virtqueue.h"

namespace {

using namespace tapferry;

constexpr uint64_t kRegionBytes = 0x4000;
// Two neighbours and one alone; a ring address of the input is an offset to the first.
constexpr uint64_t kRegions[] = {0x10000, 0x10000 + kRegionBytes, 0x40000};
constexpr uint64_t kUvaOffset = 0x7f0000000000;

void require(bool holds) {
  if (!holds) abort();
}

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  bool is_over() const { return left_ == 0; }
  uint8_t byte() {
    if (left_ == 0) return 0;
    left_--;
    return *data_++;
  }
  uint16_t word() {
    const uint16_t low = byte();
    return static_cast<uint16_t>(low | byte() << 8);
  }
  // Most of them in, or near, a region.
  uint64_t gpa() {
    const uint16_t offset = word();
    if ((offset & 0x8000) == 0) return kRegions[0] + offset;
    if ((offset & 0x4000) == 0) return kRegions[2] + (offset & 0x3fff);
    return (offset & 0x2000) == 0 ? kRegions[2] + kRegionBytes - 64 + (offset & 0xff) : uint64_t{offset} << 48;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

// Regions with a page between them that can't be touched: mappings are made downwards, each below the one before.
const GuestMemory& guest_memory() {
  static GuestMemory* const memory = [] {
    auto* made = new GuestMemory;
    for (const uint64_t gpa : kRegions) {
      require(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
      Fd file(memfd_create("region", MFD_CLOEXEC));
      require(ftruncate(file.get(), kRegionBytes) == 0);
      require(made->add({gpa, kRegionBytes, kUvaOffset + gpa, 0}, std::move(file)).is_ok());
    }
    return made;
  }();
  return *memory;
}

DirtyLog& dirty_log() {
  static DirtyLog* const log = [] {
    auto* made = new DirtyLog;
    Fd file(memfd_create("log", MFD_CLOEXEC));
    require(ftruncate(file.get(), 16) == 0);
    require(made->set(8, 0, std::move(file)).is_ok());
    return made;
  }();
  return *log;
}

class Session {
 public:
  explicit Session(Input* input) : in_(input), memory_(guest_memory()) {
    for (const uint64_t gpa : kRegions) memset(memory_.at_gpa(gpa, kRegionBytes), 0, kRegionBytes);
    const uint8_t features = in_->byte();
    config_.is_packed = (features & 1) != 0;
    config_.has_event_idx = (features & 2) != 0;
    config_.has_indirect = (features & 4) != 0;
    config_.is_in_order = (features & 8) != 0;
    config_.logs_used = (features & 16) != 0;
    if ((features & 32) != 0) config_.progress = &progress_;
    const uint8_t size = in_->byte();
    config_.size = config_.is_packed || (size & 0x80) != 0 ? size & 0x7f : 1U << (size & 7);
    config_.desc_uva = kUvaOffset + kRegions[0] + in_->word();
    config_.avail_uva = kUvaOffset + kRegions[0] + in_->word();
    config_.used_uva = kUvaOffset + kRegions[0] + in_->word();
    config_.used_gpa = config_.used_uva - kUvaOffset;
    config_.base = in_->word();
    start();
  }

  void run() {
    // Bounded, and so is each of them.
    for (int i = 0; i < 2000 && !in_->is_over(); i++) {
      switch (in_->byte() % 14) {
        case 0: write_descriptor(); break;
        case 1: poke(in_->gpa(), in_->word()); break;
        case 2: make_available(); break;
        case 3: take(kMaxChainPieces); break;
        case 4: take(in_->byte()); break;
        case 5: use(); break;
        case 6: give_back(); break;
        case 7: publish(); break;
        case 8: queue_.arm_kicks(); break;
        case 9: queue_.disarm_kicks(); break;
        case 10: write_table(); break;
        case 11: restart(); break;
        case 12: relocate(); break;
        default: jump(); break;
      }
    }
    stop();
  }

 private:
  void start() {
    in_flight_.clear();
    used_slots_ = 0;
    is_broken_ = false;
    const Status started = queue_.start(config_, &memory_, &dirty_log());
    require(started.is_ok() == queue_.is_started());
    if (!started.is_ok()) require(started.error().line().find('\n') == std::string::npos);
    if (config_.resumes && started.is_ok()) config_.base = queue_.base();
    config_.resumes = false;
  }

  void stop() {
    const bool was_started = queue_.is_started();
    if (was_started) check_base();
    const uint32_t base = queue_.stop();
    require(!queue_.is_started());
    if (was_started) config_.base = base;
  }

  void restart() {
    const uint8_t how = in_->byte();
    stop();
    if ((how & 1) != 0) config_.base = in_->word();
    config_.resumes = (how & 2) != 0;
    if ((how & 4) != 0) progress_.store(in_->word() * 0x10001U, in_->byte());
    if ((how & 8) != 0) progress_.elements[in_->byte() % RingProgress::kMaxElements].slots = in_->word();
    start();
  }

  void relocate() {
    const bool was_started = queue_.is_started();
    require(queue_.relocate(&memory_, in_->byte() % 2 == 0 ? nullptr : &dirty_log()).is_ok());
    require(queue_.is_started() == was_started);
  }

  void poke(uint64_t gpa, uint16_t value) {
    if (uint8_t* const at = memory_.at_gpa(gpa, 2)) memcpy(at, &value, 2);
  }

  RingDescriptor any_descriptor() {
    const uint64_t address = in_->gpa();
    const uint16_t length = in_->word();
    const uint8_t flags = in_->byte();
    const uint8_t other = in_->byte();
    // Lengths of a few bytes, up to some KiB, or enormous.
    const uint32_t bytes = length < 0xff00 ? length & 0x1fff : length << 16;
    if (!config_.is_packed) return {address, bytes | uint64_t{flags} << 32 | uint64_t{other} << 48};
    const uint64_t wrap = (flags & 16) != 0 ? 0x8000 : 0x80;
    return {address, bytes | uint64_t{other} << 32 | (uint64_t{flags} | wrap) << 48};
  }

  void write_descriptor() {
    const unsigned index = in_->byte();
    const RingDescriptor descriptor = any_descriptor();
    if (uint8_t* const at = memory_.at_uva(config_.desc_uva + 16 * index, 16)) memcpy(at, &descriptor, 16);
  }

  void write_table() {
    const uint64_t gpa = in_->gpa();
    const unsigned count = in_->byte() % 8;
    for (unsigned i = 0; i < count; i++) {
      const RingDescriptor descriptor = any_descriptor();
      if (uint8_t* const at = memory_.at_gpa(gpa + 16 * i, 16)) memcpy(at, &descriptor, 16);
    }
  }

  uint16_t* avail(unsigned field) const {
    return reinterpret_cast<uint16_t*>(memory_.at_uva(config_.avail_uva + 2 * field, 2));
  }

  // As a driver does it. Packed rings are made available by their descriptors.
  void make_available() {
    const uint8_t head = in_->byte();
    if (!queue_.is_started() || config_.is_packed) return;
    *avail(2 + *avail(1) % config_.size) = head;
    ++*avail(1);
  }

  // The available index, or an event field.
  void jump() {
    const uint16_t value = in_->word();
    if (queue_.is_started()) *avail(config_.is_packed ? value >> 15 : 1) = value;
  }

  void take(unsigned room) {
    Chain chain;
    const bool is_split = queue_.is_started() && !config_.is_packed;
    const unsigned expected_id = is_split ? *avail(2 + next_index() % config_.size) : 0;
    const Take took = queue_.take(&chain, pieces_, room);
    require(!is_broken_ || took == Take::kBroken || !queue_.is_started());
    require(queue_.is_broken() == (took == Take::kBroken));
    is_broken_ = took == Take::kBroken;
    if (is_broken_) require(!describe(queue_.fault(), 1).empty());
    require(took != Take::kNoRoom || room < kMaxChainPieces);
    if (took != Take::kTaken) return;
    require(!is_split || chain.id == expected_id);
    check_pieces(chain, room);
    in_flight_.push_back(chain);
    unsigned slots = 0;
    for (const Chain& each : in_flight_) slots += config_.is_packed ? each.slots : 1;
    require(slots <= config_.size);
  }

  void check_pieces(const Chain& chain, unsigned room) {
    require(chain.pieces == pieces_);
    const unsigned count = chain.readable_pieces + chain.writable_pieces;
    require(count != 0 && count <= room && count <= kMaxChainPieces);
    uint64_t bytes[2] = {};
    for (unsigned i = 0; i < count; i++) {
      const iovec& piece = pieces_[i];
      const bool is_writable = i >= chain.readable_pieces;
      require(piece.iov_len != 0);
      const uint64_t gpa = memory_.gpa_of(piece.iov_base);
      require(gpa != UINT64_MAX && memory_.at_gpa(gpa, piece.iov_len) == piece.iov_base);
      bytes[is_writable ? 1 : 0] += piece.iov_len;
      // The device writes where it may, which can be the ring itself.
      auto* const first = static_cast<uint8_t*>(piece.iov_base);
      if (is_writable) first[0] = first[piece.iov_len - 1] = static_cast<uint8_t>(i);
    }
    require(bytes[0] == chain.readable_bytes && bytes[1] == chain.writable_bytes);
  }

  void use() {
    const uint8_t written = in_->byte();
    if (in_flight_.empty() || !queue_.is_started()) return;
    queue_.push_used(in_flight_.front(), written);
    used_slots_ += config_.is_packed ? in_flight_.front().slots : 1;
    in_flight_.pop_front();
    check_base();
  }

  void give_back() {
    if (in_flight_.empty() || !queue_.is_started()) return;
    queue_.give_back(in_flight_.back());
    in_flight_.pop_back();
    check_base();
  }

  void publish() {
    queue_.publish();
    require(!queue_.publish());
  }

  unsigned next_index() const { return static_cast<uint16_t>(config_.base + used_slots_ + in_flight_.size()); }

  void check_base() const {
    const uint32_t base = queue_.base();
    if (!config_.is_packed) {
      require(base == static_cast<uint16_t>(config_.base + used_slots_));
      return;
    }
    const uint64_t place = (config_.base & 0x7fff) + used_slots_;
    const uint64_t wrap = ((config_.base >> 15) + place / config_.size) & 1;
    const auto half = static_cast<uint32_t>(place % config_.size | wrap << 15);
    require(base == (half | half << 16));
  }

  Input* in_;
  const GuestMemory& memory_;
  VirtqueueConfig config_;
  RingProgress progress_;
  Virtqueue queue_;
  std::deque<Chain> in_flight_;
  uint64_t used_slots_ = 0;  // packed: descriptors; split: chains
  bool is_broken_ = false;
  iovec pieces_[kMaxChainPieces];
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  Session(&input).run();
  return 0;
}
