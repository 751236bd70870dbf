// SPDX-License-Identifier: MIT
#include "vhost/requests.h"

#include <algorithm>
#include <optional>

namespace tapferry {
namespace {

using P = PayloadKind;
using F = FdRule;
using R = Request;

constexpr bool kReplies = true;
constexpr bool kIsQuiet = false;

constexpr RequestRule kRequests[] = {
    {R::kGetFeatures, "GET_FEATURES", P::kNone, F::kNone, kReplies, kNothing, 0},
    {R::kSetFeatures, "SET_FEATURES", P::kU64, F::kNone, kIsQuiet, kNothing, 0},
    {R::kSetOwner, "SET_OWNER", P::kNone, F::kNone, kIsQuiet, kNothing, 0},
    {R::kResetOwner, "RESET_OWNER", P::kNone, F::kNone, kIsQuiet, kNothing, 0},
    {R::kSetMemTable, "SET_MEM_TABLE", P::kRegions, F::kOnePerRegion, kIsQuiet, kNothing, 0},
    {R::kSetLogBase, "SET_LOG_BASE", P::kLog, F::kOne, kReplies, kNothing, kProtocolLogShmfd},
    {R::kSetLogFd, "SET_LOG_FD", P::kNone, F::kOne, kIsQuiet, kNothing, 0},
    {R::kSetVringNum, "SET_VRING_NUM", P::kRingNumber, F::kNone, kIsQuiet, kStoppedRing, 0},
    // A started ring gets its addresses again when logging begins or ends: net_device.h looks at what is different.
    {R::kSetVringAddr, "SET_VRING_ADDR", P::kRingAddresses, F::kNone, kIsQuiet, kNothing, 0},
    {R::kSetVringBase, "SET_VRING_BASE", P::kRingNumber, F::kNone, kIsQuiet, kStoppedRing, 0},
    {R::kGetVringBase, "GET_VRING_BASE", P::kRingNumber, F::kNone, kReplies, kNothing, 0},
    {R::kSetVringKick, "SET_VRING_KICK", P::kRingFile, F::kUnlessBit8, kIsQuiet, kFeatures | kMemory, 0},
    {R::kSetVringCall, "SET_VRING_CALL", P::kRingFile, F::kUnlessBit8, kIsQuiet, kNothing, 0},
    {R::kSetVringErr, "SET_VRING_ERR", P::kRingFile, F::kUnlessBit8, kIsQuiet, kNothing, 0},
    {R::kGetProtocolFeatures, "GET_PROTOCOL_FEATURES", P::kNone, F::kNone, kReplies, kNothing, 0},
    {R::kSetProtocolFeatures, "SET_PROTOCOL_FEATURES", P::kU64, F::kNone, kIsQuiet, kNothing, 0},
    // Sent before the front-end has acknowledged MQ by some.
    {R::kGetQueueNum, "GET_QUEUE_NUM", P::kNone, F::kNone, kReplies, kNothing, 0},
    {R::kSetVringEnable, "SET_VRING_ENABLE", P::kRingNumber, F::kNone, kIsQuiet, kNothing, 0},
    {R::kSendRarp, "SEND_RARP", P::kU64, F::kNone, kIsQuiet, kFeatures, kProtocolRarp},
    {R::kNetSetMtu, "NET_SET_MTU", P::kU64, F::kNone, kIsQuiet, kNothing, kProtocolNetMtu},
    // For what a back-end asks by itself, which this one never does.
    {R::kSetBackendReqFd, "SET_BACKEND_REQ_FD", P::kNone, F::kOne, kIsQuiet, kNothing, 0},
    {R::kResetDevice, "RESET_DEVICE", P::kNone, F::kNone, kIsQuiet, kNothing, kProtocolResetDevice},
    {R::kGetMaxMemSlots, "GET_MAX_MEM_SLOTS", P::kNone, F::kNone, kReplies, kNothing, kProtocolConfigureMemSlots},
    {R::kAddMemReg, "ADD_MEM_REG", P::kRegion, F::kOne, kIsQuiet, kNothing, kProtocolConfigureMemSlots},
    // Some front-ends send a descriptor along, against the protocol, which allows that.
    {R::kRemMemReg, "REM_MEM_REG", P::kRegion, F::kAtMostOne, kIsQuiet, kNothing, kProtocolConfigureMemSlots},
    {R::kSetStatus, "SET_STATUS", P::kU64, F::kNone, kIsQuiet, kNothing, kProtocolStatus},
    {R::kGetStatus, "GET_STATUS", P::kNone, F::kNone, kReplies, kNothing, kProtocolStatus},
};

constexpr uint64_t kNoFdBit = 1u << 8;
constexpr size_t kRegionBytes = 32;
// SET_VRING_KICK and its like have room for so many.
constexpr uint64_t kRingFileMask = 0xff;

Error wrong(const RequestRule& rule, const std::string& reason) { return Error("do", rule.name, reason); }

std::string bytes(size_t count) { return std::to_string(count) + " bytes"; }

Result<size_t> regions_size(const RequestRule& rule, const Message& message) {
  constexpr size_t kHead = 8;
  if (message.payload.size() < kHead) return kHead;
  const uint32_t count = PayloadReader(message.payload).u32();
  if (count == 0 || count > kMaxTableRegions) {
    return wrong(rule, std::to_string(count) + " regions, not 1 to " + std::to_string(kMaxTableRegions));
  }
  return kHead + count * kRegionBytes;
}

Result<size_t> payload_size(const RequestRule& rule, const Message& message) {
  switch (rule.payload) {
    case P::kNone: return size_t{0};
    case P::kU64:
    case P::kRingNumber:
    case P::kRingFile: return size_t{8};
    case P::kRingAddresses: return size_t{40};
    case P::kRegions: return regions_size(rule, message);
    case P::kRegion: return 8 + kRegionBytes;
    case P::kLog: return size_t{16};
  }
  return size_t{0};
}

Status check_fds(const RequestRule& rule, const Message& message) {
  size_t least = 0;
  size_t most = 0;
  switch (rule.fds) {
    case F::kNone: break;
    case F::kOne: least = most = 1; break;
    case F::kAtMostOne: most = 1; break;
    case F::kOnePerRegion: least = most = PayloadReader(message.payload).u32(); break;
    case F::kUnlessBit8: least = most = (PayloadReader(message.payload).u64() & kNoFdBit) != 0 ? 0 : 1; break;
  }
  const size_t count = message.fds.size();
  if (count >= least && count <= most) return {};
  return wrong(rule, std::to_string(count) + " descriptors where there must be " + std::to_string(most));
}

std::optional<uint64_t> ring_of(const RequestRule& rule, const Message& message) {
  switch (rule.payload) {
    case P::kRingNumber:
    case P::kRingAddresses: return PayloadReader(message.payload).u32();
    case P::kRingFile: return PayloadReader(message.payload).u64() & kRingFileMask;
    default: return std::nullopt;
  }
}

}  // namespace

const RequestRule* find_request(uint32_t number) {
  const auto* found =
      std::ranges::find(kRequests, number, [](const RequestRule& rule) { return static_cast<uint32_t>(rule.request); });
  return found == std::end(kRequests) ? nullptr : found;
}

std::span<const RequestRule> all_requests() { return kRequests; }

void RequestState::set_started(uint32_t ring, bool is_started) {
  const uint32_t bit = 1u << (ring % 32);
  started_rings[ring / 32] = is_started ? started_rings[ring / 32] | bit : started_rings[ring / 32] & ~bit;
}

Status check_form(const RequestRule& rule, const Message& message) {
  const size_t size = TRY(payload_size(rule, message));
  if (message.payload.size() != size) {
    return wrong(rule, "its payload is " + bytes(message.payload.size()) + " long, not " + bytes(size));
  }
  return check_fds(rule, message);
}

Status check_order(const RequestRule& rule, const Message& message, const RequestState& state) {
  if ((rule.protocol_feature & ~state.protocol_features) != 0) {
    return wrong(rule, "its protocol feature was not acknowledged");
  }
  if ((rule.needs & kFeatures) != 0 && !state.has_features) return wrong(rule, "SET_FEATURES has not come yet");
  if ((rule.needs & kMemory) != 0 && !state.has_memory) return wrong(rule, "no memory was shared yet");
  const auto ring = ring_of(rule, message);
  if (!ring) return {};
  if (*ring >= state.rings) {
    return wrong(rule, "there is no ring " + std::to_string(*ring) + ", only " + std::to_string(state.rings));
  }
  if ((rule.needs & kStoppedRing) != 0 && state.is_started(static_cast<uint32_t>(*ring))) {
    return wrong(rule, "ring " + std::to_string(*ring) + " is running");
  }
  return {};
}

}  // namespace tapferry
