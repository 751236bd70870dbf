// SPDX-License-Identifier: MIT
//
// A front-end's messages, well formed and otherwise, against a device without threads. The input is a list of steps; each names a
// request of the table or a number, and the rest of it fills the payload in, with addresses, sizes and ring numbers that have
// a chance of being right. Between messages what a worker does with its rings happens once.
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd_pass.h"
#include "base/syscall.h"
#include "tests/lib/fake_worker.h"
#include "vhost/memory_guard.h"
#include "vhost/session.h"

namespace tapferry {
namespace {

constexpr uint64_t kBytes = 1 << 16;
constexpr uint64_t kGpa = 0x10000;
constexpr uint64_t kUva = 0x700000000000;
constexpr unsigned kPairs = 2;

void require(bool condition) {
  if (!condition) abort();
}

// What is left of the input reads as zeros.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool is_empty() const { return size_ == 0; }
  uint8_t byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  uint64_t u64() {
    uint64_t number = 0;
    for (int i = 0; i < 8; ++i) number = number << 8 | byte();
    return number;
  }
  // One of those that make sense where a message has a number, or any.
  uint64_t number() {
    static constexpr uint64_t kLikely[] = {0,
                                           1,
                                           2,
                                           3,
                                           4,
                                           16,
                                           256,
                                           kBytes,
                                           kGpa,
                                           kUva,
                                           kUva + 0x1000,
                                           kUva + 0x2000,
                                           0x8000,
                                           0x80008000,
                                           (1ull << 32) | (1ull << 30),
                                           (1ull << 34) | (1ull << 32) | (1ull << 30),
                                           1ull << 26,
                                           0x1ffff,
                                           ~uint64_t{0}};
    const uint8_t which = byte();
    if (which < std::size(kLikely)) return kLikely[which];
    return which < 128 ? which : u64();
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

class Front {
 public:
  Front() : memory_(memfd_create("guest", MFD_CLOEXEC)), event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    require(ftruncate(memory_.get(), kBytes) == 0);
    guest_ = static_cast<uint8_t*>(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0));
    auto pair = socket_pair(SOCK_STREAM);
    require(pair.is_ok());
    front_ = std::move(pair.value().second);
    NetDeviceParts parts{{}, {}, {}, StateFile::open(-1, 2 * kPairs).value(), {}};
    for (unsigned i = 0; i < kPairs; ++i) {
      auto worker = std::make_unique<FakeWorker>();
      workers_.push_back(worker.get());
      parts.workers.push_back(std::move(worker));
    }
    parts.abilities.queue_pairs = kPairs;
    parts.abilities.tap_offloads = 0x7f;
    parts.set_tap = [](unsigned, unsigned) { return Status(); };
    const auto say = [](const Error& error) { require(error.line().find('\n') == std::string::npos); };
    parts.say = say;
    device_ = std::make_unique<NetDevice>(std::move(parts));
    session_.emplace(std::move(pair.value().first), device_.get(), say);
  }
  ~Front() {
    device_->forget_front_end();
    munmap(guest_, kBytes);
  }
  Front(const Front&) = delete;
  Front& operator=(const Front&) = delete;

  // False when the session is over.
  bool step(Input* input) {
    const uint8_t kind = input->byte();
    if (kind >= 0xf0) {
      scribble(input);
      work(kind % 4);
      return true;
    }
    const std::span<const RequestRule> rules = all_requests();
    const bool is_known = kind < 0xe0;
    const RequestRule& rule = rules[kind % rules.size()];
    const uint32_t request = is_known ? static_cast<uint32_t>(rule.request) : kind;
    const uint8_t how =
        input->byte();  // bit 0: acknowledge; bits 1, 2: descriptors amiss; bit 3: another size; bit 4: flags
    std::string payload = payload_of(rule, input);
    if ((how & 8) != 0) payload.resize(input->byte());
    const uint32_t flags = (how & 16) != 0 ? input->byte() : 1u | ((how & 1) != 0 ? 8u : 0u);
    const uint32_t header[] = {request, flags, static_cast<uint32_t>(payload.size())};
    std::vector<int> fds = fds_of(rule, payload);
    if ((how & 2) != 0) fds.push_back(event_.get());
    if ((how & 4) != 0 && !fds.empty()) fds.pop_back();
    fds.resize(std::min<size_t>(fds.size(), 9));
    const std::string bytes = std::string(reinterpret_cast<const char*>(header), sizeof header) + payload;
    if (!send_with_fds(front_.get(), bytes, fds, 0).is_ok()) return false;
    const auto served = session_->serve();
    if (!served.is_ok()) require(served.error().line().find('\n') == std::string::npos);
    char reply[4096];
    while (recv(front_.get(), reply, sizeof reply, MSG_DONTWAIT) > 0) {
    }
    return served.is_ok() && served.value();
  }

 private:
  static void append(std::string* payload, uint64_t number, size_t bytes) {
    payload->append(reinterpret_cast<const char*>(&number), bytes);
  }
  static void append_region(std::string* payload, Input* input) {
    for (int i = 0; i < 4; ++i) append(payload, input->number(), 8);
  }

  static std::string payload_of(const RequestRule& rule, Input* input) {
    std::string payload;
    switch (rule.payload) {
      case PayloadKind::kNone: break;
      case PayloadKind::kU64: append(&payload, input->number(), 8); break;
      case PayloadKind::kRingFile: append(&payload, input->byte() | uint64_t{input->byte() % 4 == 3} << 8, 8); break;
      case PayloadKind::kRingNumber:
        append(&payload, input->byte() % 5, 4);
        append(&payload, input->number(), 4);
        break;
      case PayloadKind::kRingAddresses:
        append(&payload, input->byte() % 5, 4);
        append(&payload, input->byte() % 3, 4);
        for (int i = 0; i < 4; ++i) append(&payload, input->number(), 8);
        break;
      case PayloadKind::kRegions: {
        const unsigned count = input->byte() % 10;
        append(&payload, count, 8);
        for (unsigned i = 0; i < count; ++i) append_region(&payload, input);
        break;
      }
      case PayloadKind::kRegion:
        append(&payload, 0, 8);
        append_region(&payload, input);
        break;
      case PayloadKind::kLog:
        append(&payload, input->number(), 8);
        append(&payload, input->number(), 8);
        break;
    }
    return payload;
  }

  std::vector<int> fds_of(const RequestRule& rule, const std::string& payload) const {
    const bool is_memory = rule.payload == PayloadKind::kRegions || rule.payload == PayloadKind::kRegion ||
                           rule.payload == PayloadKind::kLog;
    const int fd = is_memory ? memory_.get() : event_.get();
    size_t count = rule.fds == FdRule::kNone ? 0 : 1;
    if (rule.fds == FdRule::kOnePerRegion && !payload.empty()) count = static_cast<uint8_t>(payload[0]);
    if (rule.fds == FdRule::kUnlessBit8 && payload.size() > 1 && (payload[1] & 1) != 0) count = 0;
    return std::vector<int>(count, fd);
  }

  // The guest writes to its memory.
  void scribble(Input* input) {
    const size_t at = (input->byte() << 8 | input->byte()) % (kBytes - 16);
    const uint64_t number = input->number();
    memcpy(guest_ + at, &number, sizeof number);
  }

  // What a thread does with a ring, in short.
  void work(unsigned ring) {
    FakeWorker& worker = *workers_[ring / 2];
    worker.park();
    Virtqueue& virtqueue = worker.queue(ring).ring;
    Chain chain;
    iovec pieces[kMaxChainPieces];
    if (virtqueue.is_started() && virtqueue.take(&chain, pieces, kMaxChainPieces) == Take::kTaken) {
      virtqueue.push_used(chain, 0);
      virtqueue.publish();
    }
    worker.resume();
  }

  Fd memory_;
  Fd event_;
  Fd front_;
  uint8_t* guest_ = nullptr;
  std::vector<FakeWorker*> workers_;
  std::unique_ptr<NetDevice> device_;
  std::optional<Session> session_;
};

size_t open_descriptors() {
  DIR* folder = opendir("/proc/self/fd");
  size_t count = 0;
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

}  // namespace
}  // namespace tapferry

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Each time: libFuzzer opens some of its own between two inputs.
  const size_t before = tapferry::open_descriptors();
  {
    tapferry::Input input(data, size);
    tapferry::Front front;
    while (!input.is_empty() && front.step(&input)) {
    }
  }
  tapferry::require(tapferry::open_descriptors() == before);
  return 0;
}
