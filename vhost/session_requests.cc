// SPDX-License-Identifier: MIT
//
// What each request does. Form and order of the message have been checked (vhost/requests.h): its payload is as long as it must
// be, and the ring that it names exists.

#include <cerrno>

#include "net/spec.h"
#include "vhost/rarp.h"
#include "vhost/session.h"

namespace tapferry {
namespace {

// SET_VRING_ADDR's flags.
constexpr uint32_t kLogsUsed = 1;  // VHOST_VRING_F_LOG

void append(std::vector<uint8_t>* payload, const void* from, size_t bytes) {
  const auto* begin = static_cast<const uint8_t*>(from);
  payload->insert(payload->end(), begin, begin + bytes);
}

void append_u64(std::vector<uint8_t>* payload, uint64_t number) { append(payload, &number, sizeof number); }

struct RingNumber {
  uint32_t ring = 0;
  uint32_t number = 0;
};

RingNumber read_ring_number(const Message& message) {
  PayloadReader payload(message.payload);
  const uint32_t ring = payload.u32();
  return {ring, payload.u32()};
}

// The ring's number in the lower eight bits; the descriptor that came along, or none.
std::pair<unsigned, Fd> take_ring_file(Message* message) {
  const unsigned ring = PayloadReader(message->payload).u64() & 0xff;
  return {ring, message->fds.empty() ? Fd() : std::move(message->fds.front())};
}

RegionSpec read_region(PayloadReader* payload) {
  RegionSpec region;
  region.gpa = payload->u64();
  region.size = payload->u64();
  region.uva = payload->u64();
  region.mmap_offset = payload->u64();
  return region;
}

RegionSpec read_single_region(const Message& message) {
  PayloadReader payload(message.payload);
  std::ignore = payload.u64();  // padding
  return read_region(&payload);
}

}  // namespace

const Session::Row Session::kHandlers[] = {
    {Request::kGetFeatures, &Session::get_features},
    {Request::kSetFeatures, &Session::set_features},
    {Request::kSetOwner, &Session::ignore},
    // Deprecated; a back-end may ignore it.
    {Request::kResetOwner, &Session::ignore},
    {Request::kSetMemTable, &Session::set_mem_table},
    {Request::kSetLogBase, &Session::set_log_base},
    // To be written when the log has changed, which is optional: front-ends look at the log by themselves.
    {Request::kSetLogFd, &Session::ignore},
    {Request::kSetVringNum, &Session::set_vring_num},
    {Request::kSetVringAddr, &Session::set_vring_addr},
    {Request::kSetVringBase, &Session::set_vring_base},
    {Request::kGetVringBase, &Session::get_vring_base},
    {Request::kSetVringKick, &Session::set_vring_kick},
    {Request::kSetVringCall, &Session::set_vring_call},
    {Request::kSetVringErr, &Session::set_vring_err},
    {Request::kGetProtocolFeatures, &Session::get_protocol_features},
    {Request::kSetProtocolFeatures, &Session::set_protocol_features},
    {Request::kGetQueueNum, &Session::get_queue_num},
    {Request::kSetVringEnable, &Session::set_vring_enable},
    {Request::kSendRarp, &Session::send_rarp},
    {Request::kNetSetMtu, &Session::net_set_mtu},
    {Request::kSetBackendReqFd, &Session::ignore},
    {Request::kResetDevice, &Session::reset_device},
    {Request::kGetMaxMemSlots, &Session::get_max_mem_slots},
    {Request::kAddMemReg, &Session::add_mem_reg},
    {Request::kRemMemReg, &Session::rem_mem_reg},
    {Request::kSetStatus, &Session::set_status},
    {Request::kGetStatus, &Session::get_status},
};

Status Session::ignore(Message*, Answer*) { return {}; }

Status Session::get_features(Message*, Answer* answer) {
  append_u64(&answer->payload, offered_features(device_.abilities()));
  return {};
}

Status Session::set_features(Message* message, Answer*) {
  const uint64_t acked = PayloadReader(message->payload).u64();
  TRY(check_features(acked, offered_features(device_.abilities())));
  return device_.set_features(acked);
}

Status Session::get_protocol_features(Message*, Answer* answer) {
  append_u64(&answer->payload, kOfferedProtocolFeatures);
  return {};
}

Status Session::set_protocol_features(Message* message, Answer*) {
  const uint64_t acked = PayloadReader(message->payload).u64();
  if ((acked & ~kOfferedProtocolFeatures) != 0) {
    return Error("do", "SET_PROTOCOL_FEATURES", "bits that were not offered");
  }
  protocol_features_ = acked;
  return {};
}

Status Session::get_queue_num(Message*, Answer* answer) {
  append_u64(&answer->payload, device_.abilities().queue_pairs);
  return {};
}

Status Session::set_mem_table(Message* message, Answer*) {
  PayloadReader payload(message->payload);
  const uint32_t count = payload.u32();
  std::ignore = payload.u32();  // padding
  std::vector<RegionSpec> regions;
  for (uint32_t i = 0; i < count; ++i) regions.push_back(read_region(&payload));
  return device_.set_memory(regions, std::move(message->fds));
}

Status Session::get_max_mem_slots(Message*, Answer* answer) {
  append_u64(&answer->payload, GuestMemory::kMaxSlots);
  return {};
}

Status Session::add_mem_reg(Message* message, Answer*) {
  return device_.add_region(read_single_region(*message), std::move(message->fds.front()));
}

Status Session::rem_mem_reg(Message* message, Answer*) { return device_.remove_region(read_single_region(*message)); }

Status Session::set_log_base(Message* message, Answer* answer) {
  PayloadReader payload(message->payload);
  const uint64_t size = payload.u64();
  TRY(device_.set_log(size, payload.u64(), std::move(message->fds.front())));
  append_u64(&answer->payload, 0);
  return {};
}

Status Session::set_vring_num(Message* message, Answer*) {
  const auto [ring, number] = read_ring_number(*message);
  return device_.set_size(ring, number);
}

Status Session::set_vring_addr(Message* message, Answer*) {
  PayloadReader payload(message->payload);
  const uint32_t ring = payload.u32();
  const uint32_t flags = payload.u32();
  RingAddresses addresses;
  addresses.desc_uva = payload.u64();
  addresses.used_uva = payload.u64();
  addresses.avail_uva = payload.u64();
  addresses.used_gpa = payload.u64();
  addresses.logs_used = (flags & kLogsUsed) != 0;
  if ((flags & ~kLogsUsed) != 0) {
    return Error("do", "SET_VRING_ADDR", "flags that are not known: " + std::to_string(flags));
  }
  return device_.set_addresses(ring, addresses);
}

Status Session::set_vring_base(Message* message, Answer*) {
  const auto [ring, number] = read_ring_number(*message);
  device_.set_base(ring, number);
  return {};
}

Status Session::get_vring_base(Message* message, Answer* answer) {
  const RingNumber asked = read_ring_number(*message);
  const RingNumber reply = {asked.ring, device_.stop(asked.ring)};
  append(&answer->payload, &reply, sizeof reply);
  return {};
}

Status Session::set_vring_kick(Message* message, Answer*) {
  auto [ring, fd] = take_ring_file(message);
  Status started = device_.set_kick(ring, std::move(fd));
  // A connection that ended for that would end again and again, and the guest, which alone can mend it, couldn't.
  if (!started.is_ok() && started.error().code() == ESTALE && !message->needs_reply) return tell(started.error());
  return started;
}

Status Session::set_vring_call(Message* message, Answer*) {
  auto [ring, fd] = take_ring_file(message);
  return device_.set_call(ring, std::move(fd));
}

Status Session::set_vring_err(Message* message, Answer*) {
  auto [ring, fd] = take_ring_file(message);
  return device_.set_err(ring, std::move(fd));
}

Status Session::set_vring_enable(Message* message, Answer*) {
  const auto [ring, number] = read_ring_number(*message);
  if (number > 1) return Error("do", "SET_VRING_ENABLE", std::to_string(number) + " is neither 0 nor 1");
  device_.enable(ring, number == 1);
  return {};
}

Status Session::send_rarp(Message* message, Answer*) {
  const Mac mac = TRY(rarp_mac(PayloadReader(message->payload).u64()));
  // That guest does it better by itself: it knows its VLANs.
  if (has(device_.features(), Feature::kGuestAnnounce)) return {};
  const auto frame = rarp_frame(mac);
  return device_.send_to_tap(frame.data(), frame.size());
}

// It is the front-end that tells the guest. What the tap takes is not changed by it, so a larger one is only said to be of no use.
Status Session::net_set_mtu(Message* message, Answer*) {
  const uint64_t mtu = PayloadReader(message->payload).u64();
  if (mtu < kMinMtu || mtu > kMaxMtu) {
    return Error("do", "NET_SET_MTU",
                 std::to_string(mtu) + " is not " + std::to_string(kMinMtu) + " to " + std::to_string(kMaxMtu));
  }
  const unsigned ours = device_.abilities().mtu;
  if (ours != 0 && mtu > ours) {
    say_(Error("use", "the guest's MTU of " + std::to_string(mtu), "the tap's is " + std::to_string(ours))
             .with_hint("larger frames go no further than the tap"));
  }
  return {};
}

Status Session::reset_device(Message*, Answer*) {
  device_.reset();
  return {};
}

Status Session::set_status(Message* message, Answer*) {
  const uint64_t status = PayloadReader(message->payload).u64();
  if (status > 0xff) return Error("do", "SET_STATUS", std::to_string(status) + " has more than eight bits");
  status_ = static_cast<uint8_t>(status);
  if (status_ == 0) device_.reset();
  return {};
}

Status Session::get_status(Message*, Answer* answer) {
  append_u64(&answer->payload, status_);
  return {};
}

}  // namespace tapferry
