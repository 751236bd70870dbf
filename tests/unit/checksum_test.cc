// SPDX-License-Identifier: MIT
#include "vhost/checksum.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include "tests/lib/segmenter.h"

namespace tapferry {
namespace {

using test::Bytes;
using test::slow_sum;

Bytes some_bytes(size_t length, uint8_t seed) {
  Bytes bytes(length);
  uint32_t state = seed;
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>((state = state * 1664525 + 1013904223) >> 24);
  return bytes;
}

TEST(Checksum, IsTheSlowOneInEveryLengthAndAlignment) {
  const Bytes bytes = some_bytes(200, 3);
  for (size_t begin = 0; begin < 17; ++begin) {
    for (size_t length = 0; begin + length <= bytes.size(); ++length) {
      const auto part = std::span(bytes).subspan(begin, length);
      ASSERT_EQ(ntohs(fold_checksum(add_checksum(0, part.data(), length))), slow_sum(part)) << begin << " " << length;
    }
  }
}

TEST(Checksum, CarriesNothingAwayFromTheLargestFrame) {
  for (const uint8_t fill : {uint8_t{0}, uint8_t{0xff}}) {
    const Bytes bytes(65535, fill);
    EXPECT_EQ(ntohs(fold_checksum(add_checksum(0, bytes.data(), bytes.size()))), slow_sum(bytes));
  }
  const Bytes mixed = some_bytes(65535, 9);
  EXPECT_EQ(ntohs(fold_checksum(add_checksum(0, mixed.data(), mixed.size()))), slow_sum(mixed));
}

TEST(Checksum, OfEvenPartsAddsUp) {
  const Bytes bytes = some_bytes(1501, 5);
  for (const size_t cut : {size_t{0}, size_t{2}, size_t{20}, size_t{1000}, size_t{1500}}) {
    const uint64_t sum = add_checksum(add_checksum(0, bytes.data(), cut), bytes.data() + cut, bytes.size() - cut);
    EXPECT_EQ(ntohs(fold_checksum(sum)), slow_sum(bytes)) << cut;
  }
}

TEST(Checksum, FoldsEveryWidth) {
  EXPECT_EQ(fold_checksum(0), 0);
  EXPECT_EQ(fold_checksum(0xffff), 0xffff) << "zero only for nothing but zeros";
  EXPECT_EQ(fold_checksum(0x10000), 1);
  EXPECT_EQ(fold_checksum(0x1fffe), 0xffff);
  EXPECT_EQ(fold_checksum(0xffffffff), 0xffff);
  EXPECT_EQ(fold_checksum(~uint64_t{0}), 0xffff);
  EXPECT_EQ(fold_checksum(uint64_t{0xffffffff} << 32), 0xffff);
  EXPECT_EQ(fold_checksum(0xffff0000fffffffe), 0xfffe);
  EXPECT_EQ(finish_checksum(0xffff), 0);
}

}  // namespace
}  // namespace tapferry
