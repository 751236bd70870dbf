// SPDX-License-Identifier: MIT
//
// The requests of vhost-user that a network back-end answers, as a table: what each carries, whether it is replied to, and when
// it is legal (QEMU's docs/interop/vhost-user.rst). Checking a message against its row needs nothing but both, so the rules that
// a hostile front-end meets can be read, and tested, in one place; what a request does is in vhost/session.h.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "vhost/message.h"

namespace tapferry {

enum class Request : uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kResetOwner = 4,
  kSetMemTable = 5,
  kSetLogBase = 6,
  kSetLogFd = 7,
  kSetVringNum = 8,
  kSetVringAddr = 9,
  kSetVringBase = 10,
  kGetVringBase = 11,
  kSetVringKick = 12,
  kSetVringCall = 13,
  kSetVringErr = 14,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kGetQueueNum = 17,
  kSetVringEnable = 18,
  kSendRarp = 19,
  kNetSetMtu = 20,
  kSetBackendReqFd = 21,
  kResetDevice = 34,
  kGetMaxMemSlots = 36,
  kAddMemReg = 37,
  kRemMemReg = 38,
  kSetStatus = 39,
  kGetStatus = 40,
};

// Bits of GET_PROTOCOL_FEATURES.
inline constexpr uint64_t kProtocolMq = 1u << 0;
inline constexpr uint64_t kProtocolLogShmfd = 1u << 1;
inline constexpr uint64_t kProtocolRarp = 1u << 2;
inline constexpr uint64_t kProtocolReplyAck = 1u << 3;
inline constexpr uint64_t kProtocolNetMtu = 1u << 4;
inline constexpr uint64_t kProtocolResetDevice = 1u << 13;
inline constexpr uint64_t kProtocolConfigureMemSlots = 1u << 15;
inline constexpr uint64_t kProtocolStatus = 1u << 16;
inline constexpr uint64_t kOfferedProtocolFeatures = kProtocolMq | kProtocolLogShmfd | kProtocolRarp |
                                                     kProtocolReplyAck | kProtocolNetMtu | kProtocolResetDevice |
                                                     kProtocolConfigureMemSlots | kProtocolStatus;

// SET_MEM_TABLE's limit (VHOST_MEMORY_BASELINE_NREGIONS); ADD_MEM_REG goes further.
inline constexpr uint32_t kMaxTableRegions = 8;

enum class PayloadKind : uint8_t {
  kNone,
  kU64,
  kRingNumber,     // u32 ring, u32 number
  kRingAddresses,  // u32 ring, u32 flags, u64 descriptors, used, available, log
  kRingFile,       // u64: ring in bits 0 to 7, bit 8: no descriptor
  kRegions,        // u32 count, u32 padding, then a region each: u64 gpa, size, uva, offset
  kRegion,         // u64 padding, one region
  kLog,            // u64 size, offset
};

enum class FdRule : uint8_t {
  kNone,
  kOne,
  kAtMostOne,  // closed unused
  kOnePerRegion,
  kUnlessBit8,  // one, or none where bit 8 of the payload says so
};

// What has to have come before.
enum Needs : uint8_t {
  kNothing = 0,
  kFeatures = 1,     // SET_FEATURES
  kMemory = 2,       // a region, at least
  kStoppedRing = 4,  // the ring that it names isn't started
};

struct RequestRule {
  Request request;
  const char* name;
  PayloadKind payload;
  FdRule fds;
  bool has_reply;             // one of its own, so NEED_REPLY changes nothing
  unsigned needs;             // of Needs
  uint64_t protocol_feature;  // legal only once this was acknowledged; 0: always
};

// Null: a request that isn't known here.
const RequestRule* find_request(uint32_t number);
std::span<const RequestRule> all_requests();

// As much of a session as the order of requests depends on.
struct RequestState {
  uint64_t protocol_features = 0;  // as acknowledged
  bool has_features = false;
  bool has_memory = false;
  unsigned rings = 0;
  uint32_t started_rings[4] = {};  // bitmap: 128 of them, two for each queue

  bool is_started(uint32_t ring) const { return (started_rings[ring / 32] >> (ring % 32) & 1) != 0; }
  void set_started(uint32_t ring, bool is_started);
};

// That the message has the payload and the descriptors of its row.
Status check_form(const RequestRule& rule, const Message& message);
// That it is legal now, and that the ring that it names exists (CVE-2020-10723). After check_form().
Status check_order(const RequestRule& rule, const Message& message, const RequestState& state);

}  // namespace tapferry
