// SPDX-License-Identifier: MIT
#include "tests/lib/front/net_driver.h"

#include <algorithm>
#include <cstring>

namespace tapferry::front {
namespace {

constexpr uint32_t kMinHeader = 10;

}  // namespace

Result<std::unique_ptr<NetDriver>> NetDriver::make(const RingOptions& options, unsigned header_bytes, bool is_mergeable,
                                                   GuestMemoryFile* memory) {
  std::unique_ptr<NetDriver> driver(new NetDriver(memory));
  driver->header_bytes_ = header_bytes;
  driver->is_mergeable_ = is_mergeable;
  driver->rx_ = TRY(make_driver_ring(options, memory));
  driver->tx_ = TRY(make_driver_ring(options, memory));
  return driver;
}

uint32_t NetDriver::take_slot(std::vector<Slot>* slots, std::vector<uint32_t>* free) {
  if (free->empty()) {
    slots->emplace_back();
    return static_cast<uint32_t>(slots->size() - 1);
  }
  const uint32_t slot = free->back();
  free->pop_back();
  return slot;
}

std::vector<Buffer> NetDriver::lay_out(uint64_t gpa, uint32_t bytes, const Shape& shape, bool is_writable) const {
  std::vector<Buffer> chain;
  const auto append = [&](uint32_t length) {
    if (length == 0) return;
    chain.push_back({gpa, length, is_writable});
    gpa += length;
    bytes -= length;
  };
  if (shape.has_own_header) append(std::min(bytes, header_bytes_));
  for (const uint32_t piece : shape.pieces) append(std::min(bytes, piece));
  append(bytes);
  return chain;
}

Result<bool> NetDriver::post(uint32_t bytes, const Shape& shape) {
  const uint64_t gpa = TRY(memory_->take_buffer(bytes));
  const uint32_t index = take_slot(&rx_slots_, &rx_free_);
  Slot& slot = rx_slots_[index];
  slot = {lay_out(gpa, bytes, shape, true), shape, gpa, bytes};
  if (rx_->add(slot.chain, shape.is_indirect, index)) return true;
  memory_->return_buffer(gpa, bytes);
  rx_free_.push_back(index);
  return false;
}

Result<bool> NetDriver::send(std::string_view header, std::string_view frame, const Shape& shape) {
  const auto bytes = static_cast<uint32_t>(header_bytes_ + frame.size());
  const uint64_t gpa = TRY(memory_->take_buffer(bytes));
  memset(memory_->at(gpa), 0, header_bytes_);
  memcpy(memory_->at(gpa), header.data(), std::min<size_t>(header.size(), header_bytes_));
  memcpy(memory_->at(gpa) + header_bytes_, frame.data(), frame.size());
  const uint32_t index = take_slot(&tx_slots_, &tx_free_);
  Slot& slot = tx_slots_[index];
  slot = {lay_out(gpa, bytes, shape, false), shape, gpa, bytes};
  if (tx_->add(slot.chain, shape.is_indirect, index)) return true;
  memory_->return_buffer(gpa, bytes);
  tx_free_.push_back(index);
  return false;
}

unsigned NetDriver::reap_sent() {
  unsigned count = 0;
  for (Used used; tx_->next_used(&used); ++count) {
    const Slot& slot = tx_slots_[used.cookie];
    memory_->return_buffer(slot.gpa, slot.bytes);
    tx_free_.push_back(static_cast<uint32_t>(used.cookie));
  }
  return count;
}

std::string NetDriver::read_slot(const Slot& slot, uint32_t written) const {
  return {reinterpret_cast<const char*>(memory_->at(slot.gpa)), std::min(written, slot.bytes)};
}

Result<bool> NetDriver::receive(ReceivedFrame* frame, bool repost) {
  for (Used used; rx_->next_used(&used);) arrived_.push_back({static_cast<uint32_t>(used.cookie), used.written});
  if (arrived_.empty()) return false;
  const Arrived first = arrived_.front();
  std::string bytes = read_slot(rx_slots_[first.slot], first.written);
  if (first.written > rx_slots_[first.slot].bytes || bytes.size() < kMinHeader) {
    return Error("receive", "a frame", std::to_string(first.written) + " bytes were written");
  }
  uint16_t count = 1;
  if (is_mergeable_) memcpy(&count, bytes.data() + 10, sizeof count);
  if (count == 0 || count > rx_->size()) return Error("receive", "a frame", "num_buffers is " + std::to_string(count));
  if (arrived_.size() < count) return false;  // the device publishes them together, but a test's own may not
  for (uint16_t i = 1; i < count; ++i) {
    const Arrived& part = arrived_[i];
    if (part.written > rx_slots_[part.slot].bytes)
      return Error("receive", "a frame", "more than its buffer was written");
    bytes += read_slot(rx_slots_[part.slot], part.written);
  }
  *frame = {bytes.substr(0, header_bytes_), bytes.size() > header_bytes_ ? bytes.substr(header_bytes_) : "", count};
  for (uint16_t i = 0; i < count; ++i) {
    const uint32_t index = arrived_.front().slot;
    arrived_.pop_front();
    const Slot slot = rx_slots_[index];
    memory_->return_buffer(slot.gpa, slot.bytes);
    rx_free_.push_back(index);
    if (repost) TRY(post(slot.bytes, slot.shape));
  }
  return true;
}

}  // namespace tapferry::front
