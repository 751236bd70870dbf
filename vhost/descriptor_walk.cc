// SPDX-License-Identifier: MIT
#include "vhost/descriptor_walk.h"

#include <algorithm>

#include "vhost/guest_access.h"

namespace tapferry {
namespace {

using Rule = RingFault::Rule;

uint32_t length_of(uint64_t rest) { return static_cast<uint32_t>(rest); }
uint16_t split_flags(uint64_t rest) { return static_cast<uint16_t>(rest >> 32); }
uint16_t split_next(uint64_t rest) { return static_cast<uint16_t>(rest >> 48); }
uint16_t packed_id(uint64_t rest) { return static_cast<uint16_t>(rest >> 32); }
uint16_t packed_flags(uint64_t rest) { return static_cast<uint16_t>(rest >> 48); }

Take broken(RingFault* fault, Rule rule, uint64_t address, uint64_t value) {
  fault->rule = rule;
  fault->address = address;
  fault->value = value;
  return Take::kBroken;
}

// The same, which names the descriptor.
Take at(unsigned descriptor, bool is_in_indirect, Take take, RingFault* fault) {
  fault->descriptor = descriptor;
  fault->is_in_indirect = is_in_indirect;
  return take;
}

void begin(Chain* chain, iovec* pieces) {
  *chain = Chain();
  chain->pieces = pieces;
}

Take out_of_room(unsigned room, RingFault* fault) {
  return room < kMaxChainPieces ? Take::kNoRoom : broken(fault, Rule::kTooManyPieces, 0, kMaxChainPieces);
}

}  // namespace

// A buffer that isn't in the window's region, or not wholly.
Take DescriptorWalk::add_elsewhere(Chain* chain, uint64_t gpa, uint32_t length, unsigned room, RingFault* fault) {
  const unsigned used = chain->readable_pieces + chain->writable_pieces;
  const int count = memory_->spans(gpa, length, chain->pieces + used, static_cast<int>(room - used));
  if (count == 0) return broken(fault, Rule::kNotInMemory, gpa, length);
  if (count < 0) return out_of_room(room, fault);
  window_ = memory_->window_at(gpa);
  (chain->writable_bytes != 0 ? chain->writable_pieces : chain->readable_pieces) += static_cast<uint16_t>(count);
  return Take::kTaken;
}

inline Take DescriptorWalk::add(Chain* chain, uint64_t gpa, uint32_t length, bool is_writable, unsigned room,
                                RingFault* fault) {
  if (length == 0) return broken(fault, Rule::kEmptyDescriptor, gpa, 0);
  if (is_writable) {
    if (__builtin_add_overflow(chain->writable_bytes, length, &chain->writable_bytes)) {
      return broken(fault, Rule::kTooManyBytes, gpa, length);
    }
  } else {
    if (chain->writable_bytes != 0) return broken(fault, Rule::kReadableAfterWritable, gpa, length);
    if (__builtin_add_overflow(chain->readable_bytes, length, &chain->readable_bytes)) {
      return broken(fault, Rule::kTooManyBytes, gpa, length);
    }
  }
  uint8_t* const host = window_.at(gpa, length);
  if (host == nullptr) [[unlikely]] {
    return add_elsewhere(chain, gpa, length, room, fault);
  }
  const unsigned used = chain->readable_pieces + chain->writable_pieces;
  if (used >= room) [[unlikely]] {
    return out_of_room(room, fault);
  }
  chain->pieces[used] = {host, length};
  (is_writable ? chain->writable_pieces : chain->readable_pieces)++;
  return Take::kTaken;
}

// Copies the table that an INDIRECT descriptor names. From here on the guest can't change it any more.
Take DescriptorWalk::load_indirect(uint64_t gpa, uint32_t length, uint16_t flags, RingFault* fault) {
  if (!has_indirect_) return broken(fault, Rule::kIndirectRefused, gpa, length);
  if ((flags & VRING_DESC_F_NEXT) != 0) return broken(fault, Rule::kIndirectAndNext, gpa, length);
  const unsigned count = length / sizeof(RingDescriptor);
  if (length % sizeof(RingDescriptor) != 0 || count == 0 || count > kMaxChainPieces) {
    return broken(fault, Rule::kIndirectSize, gpa, length);
  }
  if (indirect_ == nullptr) indirect_ = std::make_unique<RingDescriptor[]>(kMaxChainPieces);
  if (!memory_->copy_in(indirect_.get(), gpa, length)) return broken(fault, Rule::kIndirectNotInMemory, gpa, length);
  indirect_count_ = count;
  return Take::kTaken;
}

Take DescriptorWalk::add_split_indirect(Chain* chain, unsigned room, RingFault* fault) {
  unsigned index = 0;
  for (unsigned seen = 1; seen <= indirect_count_; seen++) {
    const RingDescriptor& descriptor = indirect_[index];
    const uint16_t flags = split_flags(descriptor.rest);
    const uint32_t length = length_of(descriptor.rest);
    if ((flags & VRING_DESC_F_INDIRECT) != 0) {
      return at(index, true, broken(fault, Rule::kIndirectNested, descriptor.address, length), fault);
    }
    const bool is_writable = (flags & VRING_DESC_F_WRITE) != 0;
    const Take take = add(chain, descriptor.address, length, is_writable, room, fault);
    if (take != Take::kTaken) return at(index, true, take, fault);
    if ((flags & VRING_DESC_F_NEXT) == 0) return Take::kTaken;
    const unsigned next = split_next(descriptor.rest);
    if (next >= indirect_count_) return at(index, true, broken(fault, Rule::kNextOutOfRange, 0, next), fault);
    index = next;
  }
  return at(0, true, broken(fault, Rule::kChainTooLong, 0, indirect_count_), fault);
}

// All of the table, in order: there is no flag but WRITE in it, the device ignores others (virtio 1.2, 2.8.8).
Take DescriptorWalk::add_packed_indirect(Chain* chain, unsigned room, RingFault* fault) {
  for (unsigned index = 0; index < indirect_count_; index++) {
    const RingDescriptor& descriptor = indirect_[index];
    const bool is_writable = !is_send_ && (packed_flags(descriptor.rest) & VRING_DESC_F_WRITE) != 0;
    const Take take = add(chain, descriptor.address, length_of(descriptor.rest), is_writable, room, fault);
    if (take != Take::kTaken) return at(index, true, take, fault);
  }
  return Take::kTaken;
}

Take DescriptorWalk::split(std::span<const RingDescriptor> table, unsigned head, Chain* chain, iovec* pieces,
                           unsigned room, RingFault* fault) {
  begin(chain, pieces);
  chain->id = static_cast<uint16_t>(head);
  room = std::min(room, kMaxChainPieces);
  unsigned index = head;
  for (size_t seen = 1; seen <= table.size(); seen++) {
    chain->slots = static_cast<uint16_t>(seen);
    const uint64_t address = guest_load(&table[index].address);
    const uint64_t rest = guest_load(&table[index].rest);
    const uint16_t flags = split_flags(rest);
    if ((flags & VRING_DESC_F_INDIRECT) != 0) [[unlikely]] {
      const Take loaded = load_indirect(address, length_of(rest), flags, fault);
      return loaded == Take::kTaken ? add_split_indirect(chain, room, fault) : at(index, false, loaded, fault);
    }
    const Take take = add(chain, address, length_of(rest), (flags & VRING_DESC_F_WRITE) != 0, room, fault);
    if (take != Take::kTaken) [[unlikely]] {
      return at(index, false, take, fault);
    }
    if ((flags & VRING_DESC_F_NEXT) == 0) return Take::kTaken;
    const unsigned next = split_next(rest);
    if (next >= table.size()) return at(index, false, broken(fault, Rule::kNextOutOfRange, 0, next), fault);
    index = next;
  }
  return at(head, false, broken(fault, Rule::kChainTooLong, 0, table.size()), fault);
}

Take DescriptorWalk::packed(std::span<const RingDescriptor> ring, unsigned first, uint64_t first_rest, unsigned limit,
                            Chain* chain, iovec* pieces, unsigned room, RingFault* fault) {
  begin(chain, pieces);
  room = std::min(room, kMaxChainPieces);
  unsigned index = first;
  uint64_t rest = first_rest;
  for (unsigned seen = 1; seen <= limit; seen++) {
    const uint64_t address = guest_load(&ring[index].address);
    const uint16_t flags = packed_flags(rest);
    chain->slots = static_cast<uint16_t>(seen);
    chain->id = packed_id(rest);  // that of the chain's last descriptor counts
    if ((flags & VRING_DESC_F_INDIRECT) != 0) [[unlikely]] {
      const Take loaded = load_indirect(address, length_of(rest), flags, fault);
      return loaded == Take::kTaken ? add_packed_indirect(chain, room, fault) : at(index, false, loaded, fault);
    }
    const Take take = add(chain, address, length_of(rest), (flags & VRING_DESC_F_WRITE) != 0, room, fault);
    if (take != Take::kTaken) [[unlikely]] {
      return at(index, false, take, fault);
    }
    if ((flags & VRING_DESC_F_NEXT) == 0) return Take::kTaken;
    index = index + 1 == ring.size() ? 0 : index + 1;
    rest = guest_load(&ring[index].rest);
  }
  return at(first, false, broken(fault, Rule::kChainTooLong, 0, limit), fault);
}

}  // namespace tapferry
