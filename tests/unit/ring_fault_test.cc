// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <set>
#include <string>

#include "vhost/virtqueue.h"

namespace tapferry {
namespace {

using Rule = RingFault::Rule;

TEST(RingFaults, NameQueueDescriptorAndRule) {
  EXPECT_EQ(describe({.rule = Rule::kNotInMemory, .descriptor = 12, .address = 0xfffff000, .value = 4096}, 1),
            "queue 1, descriptor 12: 4096 bytes at 0xfffff000 aren't in guest memory");
  EXPECT_EQ(describe({.rule = Rule::kNextOutOfRange, .descriptor = 3, .is_in_indirect = true, .value = 700}, 2),
            "queue 2, indirect descriptor 3: its next is 700, which the table doesn't have");
  EXPECT_EQ(describe({.rule = Rule::kHeadOutOfRange, .descriptor = 65535, .value = 256}, 0),
            "queue 0, available entry 65535: it names descriptor 256, which the ring doesn't have");
}

TEST(RingFaults, EachRuleHasALineOfItsOwn) {
  std::set<std::string> lines;
  for (unsigned rule = 0; rule <= static_cast<unsigned>(Rule::kReadOnlyExpected); rule++) {
    const std::string line =
        describe({.rule = static_cast<Rule>(rule), .address = UINT64_MAX, .value = UINT64_MAX}, 255);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_EQ(line.find("unknown"), std::string::npos);
    EXPECT_TRUE(lines.insert(line).second) << line;
  }
}

}  // namespace
}  // namespace tapferry
