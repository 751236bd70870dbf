// SPDX-License-Identifier: MIT
#include "vhost/checksum.h"

#include <cstring>

namespace tapferry {
namespace {

// Two lanes of 64 bits, in which words of 32 bits are added: 2^32 of them fit without a carry.
using Lanes = uint64_t __attribute__((vector_size(16)));

Lanes load_lanes(const uint8_t* bytes) {
  Lanes lanes;
  memcpy(&lanes, bytes, sizeof lanes);
  return lanes;
}

template <typename T>
uint64_t load(const uint8_t* bytes) {
  T value;
  memcpy(&value, bytes, sizeof value);
  return value;
}

// The last 0..15 bytes; an odd one counts as if a zero followed.
uint64_t add_rest(uint64_t sum, const uint8_t* bytes, size_t length) {
  if ((length & 8) != 0) {
    const uint64_t word = load<uint64_t>(bytes);
    sum += (word & 0xffffffff) + (word >> 32);
    bytes += 8;
  }
  if ((length & 4) != 0) {
    sum += load<uint32_t>(bytes);
    bytes += 4;
  }
  if ((length & 2) != 0) {
    sum += load<uint16_t>(bytes);
    bytes += 2;
  }
  if ((length & 1) != 0) {
    uint16_t word = 0;
    memcpy(&word, bytes, 1);
    sum += word;
  }
  return sum;
}

}  // namespace

uint64_t add_checksum(uint64_t sum, const void* bytes, size_t length) {
  const auto* at = static_cast<const uint8_t*>(bytes);
  if (length >= 16) {
    const Lanes low_half = {0xffffffff, 0xffffffff};
    Lanes even = {0, 0};
    Lanes odd = {0, 0};
    for (; length >= 32; length -= 32, at += 32) {
      const Lanes first = load_lanes(at);
      const Lanes second = load_lanes(at + 16);
      even += (first & low_half) + (second & low_half);
      odd += (first >> 32) + (second >> 32);
    }
    if (length >= 16) {
      const Lanes last = load_lanes(at);
      even += last & low_half;
      odd += last >> 32;
      length -= 16;
      at += 16;
    }
    even += odd;
    // Folded to 33 bits, so that a caller can add many of these.
    sum += (even[0] & 0xffffffff) + (even[0] >> 32) + (even[1] & 0xffffffff) + (even[1] >> 32);
  }
  return add_rest(sum, at, length);
}

}  // namespace tapferry
