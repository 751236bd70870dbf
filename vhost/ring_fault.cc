// SPDX-License-Identifier: MIT
//
// What describe() says of a ring that breaks a rule.
#include <cinttypes>
#include <cstdio>
#include <string>

#include "vhost/virtqueue.h"

namespace tapferry {
namespace {

using Rule = RingFault::Rule;

std::string reason(const RingFault& fault) {
  char text[160];
  const auto say = [&](const char* format, auto... numbers) {
    snprintf(text, sizeof text, format, numbers...);
    return std::string(text);
  };
  const uint64_t value = fault.value;
  const uint64_t address = fault.address;
  switch (fault.rule) {
    case Rule::kNone: return "nothing is wrong";
    case Rule::kAvailJump: return say("%" PRIu64 " entries are available at once, more than the ring has left", value);
    case Rule::kHeadOutOfRange: return say("it names descriptor %" PRIu64 ", which the ring doesn't have", value);
    case Rule::kNextOutOfRange: return say("its next is %" PRIu64 ", which the table doesn't have", value);
    case Rule::kChainTooLong: return say("its chain doesn't end within %" PRIu64 " descriptors", value);
    case Rule::kTooManyPieces: return say("its chain has more than %" PRIu64 " pieces", value);
    case Rule::kNotInMemory: return say("%" PRIu64 " bytes at 0x%" PRIx64 " aren't in guest memory", value, address);
    case Rule::kEmptyDescriptor: return say("no bytes at 0x%" PRIx64, address);
    case Rule::kIndirectRefused: return "it is indirect, which wasn't negotiated";
    case Rule::kIndirectNested: return "it is indirect inside an indirect table";
    case Rule::kIndirectAndNext: return "it is indirect and has a next one";
    case Rule::kIndirectSize:
      return say("its indirect table of %" PRIu64 " bytes isn't 1 to %u descriptors of 16", value, kMaxChainPieces);
    case Rule::kIndirectNotInMemory:
      return say("its indirect table, %" PRIu64 " bytes at 0x%" PRIx64 ", isn't in guest memory", value, address);
    case Rule::kReadableAfterWritable: return "it is readable and comes behind a writable one";
    case Rule::kTooManyBytes: return "its chain has 4 GiB or more";
    case Rule::kWriteOnlyExpected: return "its chain has readable parts, in a queue for receiving";
    case Rule::kReadOnlyExpected: return "its chain has writable parts, in a queue for sending";
  }
  return "unknown";
}

// The available ring's own faults are found before there is a descriptor.
bool is_of_available_entry(Rule rule) { return rule == Rule::kAvailJump || rule == Rule::kHeadOutOfRange; }

}  // namespace

std::string describe(const RingFault& fault, unsigned queue) {
  const char* what = is_of_available_entry(fault.rule) ? "available entry" : "descriptor";
  if (fault.is_in_indirect) what = "indirect descriptor";
  return "queue " + std::to_string(queue) + ", " + what + " " + std::to_string(fault.descriptor) + ": " + reason(fault);
}

}  // namespace tapferry
