// SPDX-License-Identifier: MIT
//
// Frames for the echo guest, several after another: each begins with its length in two bytes, then a vnet header of 12.
// What it answers is well-formed, fits the MTU, and comes from the guest.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "net/vnet_hdr.h"
#include "tools/echo.h"

namespace {

using namespace tapferry;

constexpr size_t kVnetHdr = 12;
constexpr size_t kMtu = 576;

void require(bool holds) {
  if (!holds) abort();
}

void check(const Bytes& answer, const Mac& guest) {
  require(answer.size() >= 60 && answer.size() <= kEthernetHeader + kMtu);
  const auto frame = parse_ethernet(answer);
  require(frame.is_ok() && frame.value().from == guest);
  if (frame.value().type == kTypeArp) {
    require(parse_arp(frame.value().payload).has_value());
  } else {
    require(parse_ip_packet(frame.value().type, frame.value().payload).is_ok());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Mac mac = *parse_mac("52:54:00:00:00:09");
  EchoGuest guest({mac, {*parse_ip("192.0.2.9"), *parse_ip("2001:db8::9")}, kMtu});
  View rest(data, size);
  for (int64_t now = 0; rest.size() >= 2 + kVnetHdr; now += 1000) {
    const size_t length = std::min<size_t>(load16(rest, 0), rest.size() - 2 - kVnetHdr);
    const View header = rest.subspan(2, kVnetHdr);
    Bytes frame;
    append(&frame, rest.subspan(2 + kVnetHdr, length));
    rest = rest.subspan(2 + kVnetHdr + length);
    if (!complete_checksum(read_vnet_hdr(header), frame).is_ok()) continue;
    const auto reply = guest.answer(frame, now);
    if (!reply.is_ok()) continue;
    for (const Bytes& answer : reply.value().frames) check(answer, mac);
  }
  return 0;
}
