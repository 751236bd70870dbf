// SPDX-License-Identifier: MIT
#include "tools/echo.h"

#include <gtest/gtest.h>

namespace tapferry {
namespace {

const Mac kHost = *parse_mac("52:54:00:00:00:01");
const Mac kGuest = *parse_mac("52:54:00:00:00:09");
const Mac kBroadcast = *parse_mac("ff:ff:ff:ff:ff:ff");
const IpAddress kHost4 = *parse_ip("192.0.2.1");
const IpAddress kGuest4 = *parse_ip("192.0.2.9");
const IpAddress kHost6 = *parse_ip("2001:db8::1");
const IpAddress kGuest6 = *parse_ip("2001:db8::9");

EchoGuest guest() { return EchoGuest({kGuest, {kGuest4, kGuest6}, 1500}); }

uint16_t type_of(const IpAddress& address) { return address.is_v6 ? kTypeIpv6 : kTypeIpv4; }

// An ICMP message with its checksum, as frames to the guest.
std::vector<Bytes> icmp_frames(Bytes message, const IpAddress& from, const IpAddress& to, size_t mtu = 1500,
                               uint8_t hop_limit = 255, const Mac& to_mac = kGuest) {
  const uint8_t protocol = from.is_v6 ? kProtocolIcmpv6 : kProtocolIcmp;
  const uint64_t initial = from.is_v6 ? pseudo_header_sum(from, to, message.size(), protocol) : 0;
  store16(message, 2, 0);
  store16(message, 2, checksum_of(initial + partial_sum(message)));
  IpPacket packet;
  packet.from = from;
  packet.to = to;
  packet.protocol = protocol;
  packet.hop_limit = hop_limit;
  packet.id = 5;
  packet.payload = message;
  std::vector<Bytes> frames;
  for (const Bytes& bytes : ip_packets(packet, mtu))
    frames.push_back(ethernet_bytes(to_mac, kHost, type_of(from), bytes));
  return frames;
}

Bytes echo_request(const IpAddress& from, size_t size) {
  Bytes message(size, 0xab);
  message[0] = from.is_v6 ? 128 : 8;
  message[1] = 0;
  return message;
}

Bytes solicitation(const IpAddress& target) {
  Bytes message = {135, 0, 0, 0, 0, 0, 0, 0};
  append(&message, target.view());
  return message;
}

EchoReply answer(EchoGuest& who, const Bytes& frame) { return who.answer(frame, 0).value(); }

// The IP packet in a reply of one frame.
IpPacket packet_in(const EchoReply& reply) {
  const EthernetFrame frame = parse_ethernet(reply.frames.at(0)).value();
  EXPECT_EQ(frame.from, kGuest);
  return parse_ip_packet(frame.type, frame.payload).value();
}

TEST(Echo, AnswersArpForItsAddressOnly) {
  EchoGuest who = guest();
  const auto ask = [&](const IpAddress& target, uint16_t operation) {
    return answer(who,
                  ethernet_bytes(kBroadcast, kHost, kTypeArp, arp_bytes({operation, kHost, kHost4, Mac{}, target})));
  };
  const EchoReply reply = ask(kGuest4, 1);
  ASSERT_EQ(reply.kind, EchoReply::Kind::kArp);
  const EthernetFrame frame = parse_ethernet(reply.frames.at(0)).value();
  EXPECT_EQ(frame.to, kHost);
  const auto packet = parse_arp(frame.payload);
  EXPECT_EQ(packet->operation, 2);
  EXPECT_EQ(packet->sender, kGuest4);
  EXPECT_EQ(packet->sender_mac, kGuest);
  EXPECT_EQ(packet->target, kHost4);
  EXPECT_TRUE(ask(*parse_ip("192.0.2.8"), 1).frames.empty());
  EXPECT_TRUE(ask(kGuest4, 2).frames.empty()) << "a reply isn't answered";
}

class EchoFamilies : public testing::TestWithParam<std::pair<IpAddress, IpAddress>> {};
INSTANTIATE_TEST_SUITE_P(Echo, EchoFamilies, testing::Values(std::pair(kHost4, kGuest4), std::pair(kHost6, kGuest6)));

TEST_P(EchoFamilies, PingComesBackWithItsData) {
  const auto& [host, own] = GetParam();
  EchoGuest who = guest();
  const Bytes request = echo_request(host, 64);
  const EchoReply reply = answer(who, icmp_frames(request, host, own)[0]);
  ASSERT_EQ(reply.kind, EchoReply::Kind::kEcho);
  ASSERT_EQ(reply.frames.size(), 1u);
  const IpPacket packet = packet_in(reply);
  EXPECT_EQ(packet.from, own);
  EXPECT_EQ(packet.to, host);
  EXPECT_EQ(packet.payload[0], host.is_v6 ? 129 : 0);
  const uint64_t initial = host.is_v6 ? pseudo_header_sum(own, host, 64, kProtocolIcmpv6) : 0;
  EXPECT_EQ(checksum_of(initial + partial_sum(packet.payload)), 0);
  EXPECT_TRUE(std::equal(request.begin() + 4, request.end(), packet.payload.begin() + 4));
}

TEST_P(EchoFamilies, LargePingComesBackInFragments) {
  const auto& [host, own] = GetParam();
  EchoGuest who = guest();
  const auto frames = icmp_frames(echo_request(host, 60008), host, own);
  ASSERT_GT(frames.size(), 40u);
  for (size_t i = 0; i + 1 < frames.size(); ++i) EXPECT_TRUE(answer(who, frames[i]).frames.empty());
  const EchoReply reply = answer(who, frames.back());
  EXPECT_EQ(reply.kind, EchoReply::Kind::kEcho);
  EXPECT_EQ(reply.frames.size(), frames.size());
  size_t bytes = 0;
  for (const Bytes& one : reply.frames) {
    EXPECT_LE(one.size(), 1514u);
    const EthernetFrame frame = parse_ethernet(one).value();
    bytes += parse_ip_packet(frame.type, frame.payload).value().payload.size();
  }
  EXPECT_EQ(bytes, 60008u);
}

TEST_P(EchoFamilies, WrongChecksumIsAnError) {
  const auto& [host, own] = GetParam();
  EchoGuest who = guest();
  Bytes frame = icmp_frames(echo_request(host, 64), host, own)[0];
  frame.back() ^= 1;
  EXPECT_EQ(who.answer(frame, 0).error().reason(), "its ICMP message's checksum is wrong");
}

TEST_P(EchoFamilies, ShorteningAnywhereIsNoCrash) {
  const auto& [host, own] = GetParam();
  EchoGuest who = guest();
  const Bytes frame = icmp_frames(echo_request(host, 64), host, own)[0];
  for (size_t length = 0; length < frame.size(); ++length) {
    const Bytes cut(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_FALSE(who.answer(cut, 0).is_ok()) << length;
  }
}

TEST_P(EchoFamilies, WhatIsNotForItIsNotAnswered) {
  const auto& [host, own] = GetParam();
  EchoGuest who = guest();
  const auto silent = [&](const Bytes& frame) { return answer(who, frame).frames.empty(); };
  EXPECT_TRUE(silent(icmp_frames(echo_request(host, 64), host, own, 1500, 255, kHost)[0])) << "another's MAC";
  EXPECT_TRUE(silent(icmp_frames(echo_request(host, 64), own, host)[0])) << "another's address";
  Bytes reply = echo_request(host, 64);
  reply[0] = host.is_v6 ? 129 : 0;
  EXPECT_TRUE(silent(icmp_frames(reply, host, own)[0])) << "a reply";
  const IpAddress nowhere = *parse_ip(host.is_v6 ? "::" : "0.0.0.0");
  EXPECT_TRUE(silent(icmp_frames(echo_request(host, 64), nowhere, own)[0])) << "no address to answer to";
  const IpAddress group = *parse_ip(host.is_v6 ? "ff02::1" : "224.0.0.1");
  EXPECT_TRUE(silent(icmp_frames(echo_request(host, 64), group, own)[0])) << "no answer to a group";
  EXPECT_TRUE(silent(ethernet_bytes(kGuest, kHost, 0x8100, Bytes(50)))) << "VLAN";
  EXPECT_TRUE(silent(ethernet_bytes(kBroadcast, kHost, 0x0027, Bytes(50)))) << "a length, not a type";
}

TEST(Echo, AnswersNeighbourSolicitation) {
  EchoGuest who = guest();
  const IpAddress group = *parse_ip("ff02::1:ff00:9");
  const Mac group_mac = *parse_mac("33:33:ff:00:00:09");
  const EchoReply reply = answer(who, icmp_frames(solicitation(kGuest6), kHost6, group, 1500, 255, group_mac)[0]);
  ASSERT_EQ(reply.kind, EchoReply::Kind::kNeighbour);
  const IpPacket packet = packet_in(reply);
  EXPECT_EQ(packet.to, kHost6);
  EXPECT_EQ(packet.hop_limit, 255);
  EXPECT_EQ(packet.payload[0], 136);
  EXPECT_EQ(packet.payload[4], 0x60) << "solicited, override";
  EXPECT_EQ(ip_address(packet.payload.subspan(8, 16)), kGuest6);
  EXPECT_EQ(packet.payload[24], 2);
  EXPECT_TRUE(std::equal(kGuest.bytes.begin(), kGuest.bytes.end(), packet.payload.begin() + 26));
}

TEST(Echo, TellsEverybodyWhenItsAddressIsTriedFromNowhere) {
  EchoGuest who = guest();
  const Bytes frame = icmp_frames(solicitation(kGuest6), *parse_ip("::"), *parse_ip("ff02::1:ff00:9"), 1500, 255,
                                  *parse_mac("33:33:ff:00:00:09"))[0];
  const EchoReply reply = answer(who, frame);
  ASSERT_EQ(reply.kind, EchoReply::Kind::kNeighbour);
  EXPECT_EQ(parse_ethernet(reply.frames[0]).value().to, *parse_mac("33:33:00:00:00:01"));
  EXPECT_EQ(packet_in(reply).to, *parse_ip("ff02::1"));
  EXPECT_EQ(packet_in(reply).payload[4], 0x20) << "not solicited";
}

TEST(Echo, IgnoresSolicitationsThatCrossedARouterOrAskForOthers) {
  EchoGuest who = guest();
  EXPECT_TRUE(answer(who, icmp_frames(solicitation(kGuest6), kHost6, kGuest6, 1500, 254)[0]).frames.empty());
  EXPECT_TRUE(answer(who, icmp_frames(solicitation(kHost6), kHost6, kGuest6)[0]).frames.empty());
}

TEST(Echo, AnnouncesEachAddress) {
  const auto frames = guest().announce();
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(parse_ethernet(frames[0]).value().to, kBroadcast);
  const auto packet = parse_arp(parse_ethernet(frames[0]).value().payload);
  EXPECT_EQ(packet->sender, kGuest4);
  EXPECT_EQ(packet->target, kGuest4);
  EXPECT_EQ(parse_ethernet(frames[1]).value().type, kTypeIpv6);
}

TEST(Echo, SourceThatIsAGroupIsAnError) {
  EchoGuest who = guest();
  EXPECT_FALSE(who.answer(ethernet_bytes(kGuest, kBroadcast, kTypeIpv4, Bytes(50)), 0).is_ok());
}

}  // namespace
}  // namespace tapferry
