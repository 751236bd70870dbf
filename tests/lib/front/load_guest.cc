// SPDX-License-Identifier: MIT
//
// The guest's side of a load: its buffers lie one behind the other and are used in that order, over and over, as the floor
// programs of tests/bench do with theirs.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <immintrin.h>

#include "tests/lib/front/feature_bits.h"
#include "tests/lib/front/guest.h"
#include "tests/lib/front/load.h"
#include "tests/lib/front/load_frames.h"

namespace tapferry::front {
namespace {

constexpr unsigned kRx = 0, kTx = 1;
constexpr unsigned kHeader = 12;
constexpr unsigned kMacs = 12;
constexpr uint32_t kLargest = 65562;  // header and frame
constexpr int kSleepMs = 10;
constexpr uint64_t kPatienceNs = 100'000'000;  // for an answer; then it is asked again

uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t bit(unsigned feature) { return uint64_t{1} << feature; }

uint64_t features_of(const LoadOptions& options) {
  uint64_t features = bit(kProtocolFeatures) | bit(kVersion1) | bit(kEventIdx) | bit(kIndirectDesc) | bit(kCsum) |
                      bit(kHostTso4) | bit(kHostTso6) | bit(kHostUso);
  if (options.is_packed) features |= bit(kRingPacked);
  if (options.is_in_order) features |= bit(kInOrder);
  if (options.is_mergeable) features |= bit(kMrgRxbuf);
  if (options.has_offloads) {
    features |= bit(kGuestCsum) | bit(kGuestTso4) | bit(kGuestTso6) | bit(kGuestUso4) | bit(kGuestUso6);
  }
  return features;
}

class LoadGuest {
 public:
  LoadGuest(const LoadOptions& options, LoadFrames frames) : options_(options), frames_(std::move(frames)) {}

  Status set_up();
  void send();
  void receive();
  void echo();
  void ping();
  void fill(LoadResult* result) const;

 private:
  struct Slots {
    uint64_t gpa = 0;
    unsigned count = 0, next = 0;
    uint64_t written = 0;
    uint64_t at(unsigned index, unsigned stride) const { return gpa + uint64_t{index} * stride; }
  };

  bool is_over() { return (now_ = now_ns()) >= end_; }
  unsigned due(uint64_t sent) const;
  void rest(unsigned vring);
  void publish(unsigned vring);
  bool send_slot(uint64_t gpa, uint32_t bytes, uint64_t cookie);
  void post_slot(unsigned index);
  void post_all();
  unsigned reap_sent();
  bool take_frame(Used* used);

  LoadOptions options_;
  LoadFrames frames_;
  std::unique_ptr<Guest> guest_;
  DriverRing* rx_ = nullptr;
  DriverRing* tx_ = nullptr;
  unsigned stride_ = 0;
  Slots rx_slots_, tx_slots_;
  uint64_t start_ = 0, now_ = 0, end_ = 0;
  unsigned parts_left_ = 0;  // of a merged frame
  LoadResult result_;
};

Status LoadGuest::set_up() {
  guest_ = TRY(Guest::make());
  const bool is_receiving = options_.kind != "tx";
  const bool is_large = is_receiving && options_.has_offloads && !options_.is_mergeable;
  const auto largest = static_cast<unsigned>(std::max<size_t>(frames_.bytes(), is_large ? kLargest : 0));
  stride_ = options_.slot_bytes != 0 ? options_.slot_bytes : std::max(4096u, (largest + 4095) & ~4095u);
  const unsigned slots = options_.slots != 0 ? options_.slots : options_.ring_size;
  const uint64_t memory = uint64_t{slots} * stride_ * 2 + (uint64_t{options_.ring_size} << 11) + (1 << 20);
  TRY(guest_->memory().add(0, (memory + (2 << 20) - 1) & ~uint64_t{(2 << 20) - 1}));
  if (options_.listens) {
    const Fd listening = TRY(listen_on(options_.socket));
    guest_->connect(TRY(VhostClient::accept_from(listening.get(), VhostClient::kTimeoutMs)));
  } else {
    guest_->connect(TRY(VhostClient::connect_to(options_.socket, VhostClient::kTimeoutMs)));
  }
  GuestOptions options;
  options.features = features_of(options_);
  options.protocol = kProtocolMq | kProtocolReplyAck;
  options.ring_size = options_.ring_size;
  options.indirect_entries = 1;
  TRY(guest_->start(options));
  rx_ = &guest_->ring(kRx);
  tx_ = &guest_->ring(kTx);
  for (Slots* each : {&rx_slots_, &tx_slots_}) {
    each->count = slots;
    each->gpa = TRY(guest_->memory().allocate(uint64_t{slots} * stride_, 4096));
  }
  rx_->ask_for_calls(options_.sleeps);
  tx_->ask_for_calls(options_.sleeps);
  start_ = now_ = now_ns();
  end_ = start_ + static_cast<uint64_t>(options_.seconds * 1e9);
  return {};
}

// How many frames may be sent now, at most a burst.
unsigned LoadGuest::due(uint64_t sent) const {
  if (options_.rate <= 0) return options_.burst;
  const auto by_now = static_cast<uint64_t>(static_cast<double>(now_ - start_) * options_.rate / 1e9);
  return by_now >= sent + options_.burst ? options_.burst : 0;
}

void LoadGuest::rest(unsigned vring) {
  if (!options_.sleeps || guest_->ring(vring).ask_for_calls(true)) {
    _mm_pause();
  } else {
    guest_->wait_call(vring, kSleepMs);
  }
}

void LoadGuest::publish(unsigned vring) {
  if (!guest_->ring(vring).publish()) return;
  guest_->kick(vring);
  ++result_.kicks;
}

bool LoadGuest::send_slot(uint64_t gpa, uint32_t bytes, uint64_t cookie) {
  const Buffer buffers[] = {{gpa, options_.has_own_header ? kHeader : bytes, false},
                            {gpa + kHeader, bytes - kHeader, false}};
  return tx_->add({buffers, options_.has_own_header ? 2u : 1u}, false, cookie);
}

unsigned LoadGuest::reap_sent() {
  unsigned count = 0;
  for (Used used; tx_->next_used(&used);) ++count;
  result_.frames += count;
  return count;
}

void LoadGuest::send() {
  const auto bytes = static_cast<uint32_t>(frames_.bytes());
  uint64_t sent = 0;
  while (!is_over()) {
    const unsigned reaped = reap_sent();
    const unsigned wanted = due(sent);
    unsigned added = 0;
    while (added < wanted && sent + added - result_.frames < tx_slots_.count) {
      const uint64_t gpa = tx_slots_.at(tx_slots_.next, stride_);
      if (tx_->free_slots() < 2) break;
      frames_.write(guest_->memory().at(gpa), tx_slots_.written < tx_slots_.count);
      if (!send_slot(gpa, bytes, 0)) break;
      ++tx_slots_.written;
      if (++tx_slots_.next == tx_slots_.count) tx_slots_.next = 0;
      ++added;
    }
    sent += added;
    if (added > 0) {
      ++result_.bursts;
      publish(kTx);
    } else if (reaped == 0) {
      options_.rate > 0 && sent == result_.frames ? _mm_pause() : rest(kTx);
    }
  }
  result_.bytes = result_.frames * (frames_.bytes() - kHeader);
}

void LoadGuest::post_slot(unsigned index) {
  const uint64_t gpa = rx_slots_.at(index, stride_);
  const Buffer buffers[] = {{gpa, options_.has_own_header ? kHeader : stride_, true},
                            {gpa + kHeader, stride_ - kHeader, true}};
  rx_->add({buffers, options_.has_own_header ? 2u : 1u}, false, index);
}

void LoadGuest::post_all() {
  const unsigned slots = options_.has_own_header ? options_.ring_size / 2 : options_.ring_size;
  for (unsigned i = 0; i < std::min(slots, rx_slots_.count); ++i) post_slot(i);
  publish(kRx);
}

// True when it was the last buffer of a frame.
bool LoadGuest::take_frame(Used* used) {
  result_.bytes += used->written - (parts_left_ == 0 ? kHeader : 0);
  if (parts_left_ == 0) {
    uint16_t parts = 1;
    if (options_.is_mergeable)
      memcpy(&parts, guest_->memory().at(rx_slots_.at(static_cast<unsigned>(used->cookie), stride_)) + 10, 2);
    parts_left_ = std::max<unsigned>(parts, 1);
  }
  if (--parts_left_ > 0) return false;
  ++result_.frames;
  return true;
}

void LoadGuest::receive() {
  post_all();
  while (!is_over()) {
    unsigned count = 0;
    for (Used used; count < options_.burst && rx_->next_used(&used); ++count) {
      take_frame(&used);
      post_slot(static_cast<unsigned>(used.cookie));
    }
    if (count > 0) {
      ++result_.bursts;
      publish(kRx);
    } else {
      rest(kRx);
    }
  }
}

// Without merged buffers only; a buffer goes back to the receive ring when it has been sent.
void LoadGuest::echo() {
  post_all();
  while (!is_over()) {
    unsigned sent = 0, posted = 0;
    for (Used used; tx_->free_slots() > 1 && rx_->next_used(&used); ++sent) {
      const uint64_t gpa = rx_slots_.at(static_cast<unsigned>(used.cookie), stride_);
      uint8_t* macs = guest_->memory().at(gpa) + kHeader;
      std::swap_ranges(macs, macs + kMacs / 2, macs + kMacs / 2);
      result_.bytes += used.written - kHeader;
      send_slot(gpa, used.written, used.cookie);
    }
    if (sent > 0) publish(kTx);
    for (Used used; tx_->next_used(&used); ++posted) post_slot(static_cast<unsigned>(used.cookie));
    if (posted > 0) publish(kRx);
    result_.frames += sent;
    result_.bursts += sent > 0;
    if (sent == 0 && posted == 0) rest(kRx);
  }
}

void LoadGuest::ping() {
  post_all();
  const auto bytes = static_cast<uint32_t>(frames_.bytes());
  const uint64_t gpa = tx_slots_.at(0, stride_);
  while (!is_over()) {
    frames_.write(guest_->memory().at(gpa), true);
    const uint64_t begin = now_ns();
    send_slot(gpa, bytes, 0);
    publish(kTx);
    Used used, sent;
    bool is_answered = false;
    while (!is_answered && !is_over() && now_ < begin + kPatienceNs) {
      is_answered = rx_->next_used(&used);
      if (!is_answered) rest(kRx);
    }
    const auto took_ns = static_cast<uint32_t>(now_ns() - begin);
    while (!tx_->next_used(&sent) && !is_over()) rest(kTx);
    if (!is_answered) continue;
    result_.round_trips_ns.push_back(took_ns);
    ++result_.frames;
    post_slot(static_cast<unsigned>(used.cookie));
    publish(kRx);
  }
}

void LoadGuest::fill(LoadResult* result) const {
  *result = result_;
  result->seconds = static_cast<double>(now_ - start_) / 1e9;
  result->calls = guest_->calls(kRx) + guest_->calls(kTx);
  timespec cpu;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  result->cpu_seconds = static_cast<double>(cpu.tv_sec) + static_cast<double>(cpu.tv_nsec) / 1e9;
}

}  // namespace

Status load_guest(const LoadOptions& options, LoadResult* result) {
  LoadGuest load(options, TRY(LoadFrames::make(options)));
  TRY(load.set_up());
  if (options.kind == "tx") {
    load.send();
  } else if (options.kind == "rx") {
    load.receive();
  } else if (options.kind == "echo") {
    load.echo();
  } else if (options.kind == "ping") {
    load.ping();
  } else {
    return Error("run", options.kind, "no such load");
  }
  load.fill(result);
  return {};
}

}  // namespace tapferry::front
