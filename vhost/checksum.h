// SPDX-License-Identifier: MIT
//
// The Internet checksum (RFC 1071), fast: sums are of 16-bit words as they stand in memory, since the sum is the same in either
// byte order as long as it is stored the way it was read.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tapferry {

// `sum` and the bytes' own, unfolded: sums of parts can be added, if all parts but the last are of even length. Any alignment.
uint64_t add_checksum(uint64_t sum, const void* bytes, size_t length);

// The sum in 16 bits; 0 only for nothing but zeros. What a sender of a packet marked NEEDS_CSUM leaves in the checksum's place.
inline uint16_t fold_checksum(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>((sum & 0xffff) + (sum >> 16));
}

// What goes on the wire: the complement, in the byte order of memory.
inline uint16_t finish_checksum(uint64_t sum) { return static_cast<uint16_t>(~fold_checksum(sum)); }

}  // namespace tapferry
