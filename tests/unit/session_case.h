// SPDX-License-Identifier: MIT
//
// A session over a socket pair, with a device of workers without threads and a guest's memory in a memfd.
#pragma once

#include <cstring>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd_pass.h"
#include "base/syscall.h"
#include "tests/lib/fake_worker.h"
#include "vhost/packed_resume.h"
#include "vhost/session.h"

namespace tapferry {

constexpr uint64_t kMemoryBytes = 1 << 20;
constexpr uint64_t kGpa = 0x100000;
constexpr uint64_t kUva = 0x7f0000000000;
constexpr unsigned kPairs = 2;

class SessionTest : public testing::Test {
 protected:
  SessionTest() { connect(make_device(-1)); }

  std::unique_ptr<NetDevice> make_device(int state_fd) {
    NetDeviceParts parts{{}, {}, {}, StateFile::open(state_fd, 2 * kPairs).value(), {}};
    workers_.clear();
    for (unsigned i = 0; i < kPairs; ++i) {
      auto worker = std::make_unique<FakeWorker>();
      workers_.push_back(worker.get());
      parts.workers.push_back(std::move(worker));
    }
    parts.abilities.queue_pairs = kPairs;
    parts.abilities.tap_offloads = 0x7f;
    parts.set_tap = [this](unsigned tun_f, unsigned header_bytes) {
      tun_f_ = tun_f;
      header_bytes_ = header_bytes;
      return Status();
    };
    parts.say = [this](const Error& error) { said_.push_back(error.line()); };
    return std::make_unique<NetDevice>(std::move(parts));
  }

  // Another front-end, to this device.
  void connect(std::unique_ptr<NetDevice> device) {
    if (device) device_ = std::move(device);
    auto pair = socket_pair(SOCK_STREAM);
    front_end_ = std::move(pair.value().second);
    session_.emplace(std::move(pair.value().first), device_.get(),
                     [this](const Error& error) { said_.push_back(error.line()); });
  }

  // Sends and has it done. The error is why the session is over.
  Result<bool> send(uint32_t request, const std::string& payload, const std::vector<int>& fds = {},
                    uint32_t flags = 1) {
    const uint32_t header[] = {request, flags, static_cast<uint32_t>(payload.size())};
    const std::string bytes = std::string(reinterpret_cast<const char*>(header), sizeof header) + payload;
    EXPECT_TRUE(send_with_fds(front_end_.get(), bytes, fds, 1000).is_ok());
    return session_->serve();
  }
  Result<bool> send(Request request, const std::string& payload = "", const std::vector<int>& fds = {}) {
    return send(static_cast<uint32_t>(request), payload, fds);
  }
  // With NEED_REPLY; what it is acknowledged with.
  uint64_t acknowledged(Request request, const std::string& payload = "", const std::vector<int>& fds = {}) {
    const auto served = send(static_cast<uint32_t>(request), payload, fds, 1 | 8);
    EXPECT_TRUE(served.is_ok()) << served.error().line();
    return reply_u64(request);
  }
  std::string reply(Request request) {
    char bytes[256];
    const ssize_t n = recv(front_end_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 12) return "no reply";
    uint32_t header[3];
    memcpy(header, bytes, sizeof header);
    EXPECT_EQ(header[0], static_cast<uint32_t>(request));
    EXPECT_EQ(header[1], 5u);
    EXPECT_EQ(header[2], static_cast<size_t>(n) - 12);
    return std::string(bytes + 12, static_cast<size_t>(n) - 12);
  }
  uint64_t reply_u64(Request request) {
    const std::string payload = reply(request);
    uint64_t number = ~uint64_t{0};
    EXPECT_EQ(payload.size(), sizeof number) << payload;
    if (payload.size() == sizeof number) memcpy(&number, payload.data(), sizeof number);
    return number;
  }
  bool has_reply() {
    char byte;
    return recv(front_end_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
  }
  uint64_t asked(Request request) {
    EXPECT_TRUE(send(request).is_ok());
    return reply_u64(request);
  }
  void done(Request request, const std::string& payload = "", const std::vector<int>& fds = {}) {
    const auto served = send(request, payload, fds);
    ASSERT_TRUE(served.is_ok()) << served.error().line();
  }
  // Why the session is over.
  std::string ended(Request request, const std::string& payload = "", const std::vector<int>& fds = {}) {
    const auto served = send(request, payload, fds);
    return served.is_ok() ? "it goes on" : served.error().line();
  }

  template <typename... Numbers>
  static std::string bytes(Numbers... numbers) {
    std::string all;
    (all.append(reinterpret_cast<const char*>(&numbers), sizeof numbers), ...);
    return all;
  }
  static std::string u64(uint64_t number) { return bytes(number); }
  static std::string ring(uint32_t index, uint32_t number) { return bytes(index, number); }
  static std::string region(uint64_t gpa = kGpa, uint64_t size = kMemoryBytes, uint64_t uva = kUva,
                            uint64_t offset = 0) {
    return bytes(gpa, size, uva, offset);
  }
  static std::string table(const std::string& regions) {
    return bytes(static_cast<uint32_t>(regions.size() / 32), uint32_t{0}) + regions;
  }
  // Each ring has 64 KiB of its own.
  static uint64_t ring_uva(uint32_t index) { return kUva + index * 0x10000; }
  static std::string addresses(uint32_t index, uint32_t flags = 0) {
    return bytes(index, flags, ring_uva(index), ring_uva(index) + 0x8000, ring_uva(index) + 0x4000, kGpa + 0x8000);
  }

  int memory_fd() {
    if (!memory_.is_open()) {
      memory_ = Fd(memfd_create("guest", MFD_CLOEXEC));
      EXPECT_EQ(ftruncate(memory_.get(), kMemoryBytes), 0);
    }
    return memory_.get();
  }
  // The guest's own view of a ring's memory.
  uint8_t* ring_memory(uint32_t index) {
    if (mapped_ == nullptr) {
      mapped_ = static_cast<uint8_t*>(mmap(nullptr, kMemoryBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd(), 0));
    }
    return mapped_ + index * 0x10000;
  }
  PackedSlot* packed_slots(uint32_t index) { return reinterpret_cast<PackedSlot*>(ring_memory(index)); }
  // A split ring that was used so far.
  void set_used_index(uint32_t index, uint16_t used) { memcpy(ring_memory(index) + 0x8002, &used, sizeof used); }
  ~SessionTest() override {
    if (mapped_ != nullptr) munmap(mapped_, kMemoryBytes);
  }

  // What a front-end does before its rings.
  void negotiate(uint64_t features = bit(Feature::kVersion1) | bit(Feature::kProtocolFeatures)) {
    done(Request::kSetProtocolFeatures, u64(kOfferedProtocolFeatures));
    done(Request::kSetFeatures, u64(features));
    done(Request::kSetMemTable, table(region()), {memory_fd()});
  }
  void set_up(uint32_t index, uint32_t base = 0) {
    done(Request::kSetVringNum, ring(index, 256));
    done(Request::kSetVringBase, ring(index, base));
    done(Request::kSetVringAddr, addresses(index));
  }
  void kick(uint32_t index) {
    const Fd fd(eventfd(0, EFD_CLOEXEC));
    done(Request::kSetVringKick, u64(index), {fd.get()});
  }
  void start(uint32_t index, uint32_t base = 0) {
    set_up(index, base);
    kick(index);
  }
  uint32_t stopped_at(uint32_t index) {
    EXPECT_TRUE(send(Request::kGetVringBase, ring(index, 0)).is_ok());
    const std::string payload = reply(Request::kGetVringBase);
    uint32_t numbers[2] = {99, 99};
    EXPECT_EQ(payload.size(), sizeof numbers) << payload;
    memcpy(numbers, payload.data(), std::min(payload.size(), sizeof numbers));
    EXPECT_EQ(numbers[0], index);
    return numbers[1];
  }
  DeviceQueue& queue(uint32_t index) { return workers_[index / 2]->queue(index); }

  std::vector<FakeWorker*> workers_;
  std::unique_ptr<NetDevice> device_;
  std::optional<Session> session_;
  Fd front_end_;
  Fd memory_;
  uint8_t* mapped_ = nullptr;
  unsigned tun_f_ = 99;
  unsigned header_bytes_ = 0;
  std::vector<std::string> said_;
};

}  // namespace tapferry
