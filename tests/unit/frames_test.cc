// SPDX-License-Identifier: MIT
#include "tools/frames.h"

#include <cstring>
#include <gtest/gtest.h>

#include "net/pcap.h"
#include "net/vnet_hdr.h"

namespace tapferry {
namespace {

Bytes counted(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 7);
  return bytes;
}

// `payload` must outlive it.
IpPacket packet_of(const char* from, const char* to, const Bytes& payload) {
  IpPacket packet;
  packet.from = *parse_ip(from);
  packet.to = *parse_ip(to);
  packet.protocol = kProtocolIcmp;
  packet.id = 77;
  packet.payload = payload;
  return packet;
}

TEST(Checksum, IsTheOneOfRfc1071) {
  // RFC 1071, section 3: the sum of the example is ddf2.
  const Bytes example = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(checksum_of(partial_sum(example)), static_cast<uint16_t>(~0xddf2));
  EXPECT_EQ(checksum_of(partial_sum(Bytes{0x12})), static_cast<uint16_t>(~0x1200)) << "an odd byte counts as high";
  EXPECT_EQ(checksum_of(partial_sum(Bytes(70000, 0xff))), 0) << "large sums fold twice";
}

TEST(Ethernet, IsPaddedAndParsesBack) {
  const Mac to = *parse_mac("52:54:00:00:00:01");
  const Mac from = *parse_mac("52:54:00:00:00:02");
  const Bytes frame = ethernet_bytes(to, from, 0x1234, counted(10));
  EXPECT_EQ(frame.size(), 60u);
  const EthernetFrame parsed = parse_ethernet(frame).value();
  EXPECT_EQ(parsed.to, to);
  EXPECT_EQ(parsed.from, from);
  EXPECT_EQ(parsed.type, 0x1234);
  EXPECT_EQ(parsed.payload.size(), 46u);
  EXPECT_FALSE(parse_ethernet(View(frame).first(13)).is_ok());
}

class IpFamilies : public testing::TestWithParam<std::pair<const char*, const char*>> {};
INSTANTIATE_TEST_SUITE_P(Ip, IpFamilies,
                         testing::Values(std::pair("192.0.2.1", "192.0.2.2"), std::pair("2001:db8::1", "2001:db8::2")));

TEST_P(IpFamilies, WholePacketParsesBack) {
  const Bytes payload = counted(100);
  const IpPacket packet = packet_of(GetParam().first, GetParam().second, payload);
  const auto packets = ip_packets(packet, 1500);
  ASSERT_EQ(packets.size(), 1u);
  Bytes padded = packets[0];
  padded.resize(padded.size() + 20);
  const uint16_t type = packet.from.is_v6 ? kTypeIpv6 : kTypeIpv4;
  const IpPacket parsed = parse_ip_packet(type, padded).value();
  EXPECT_EQ(parsed.from, packet.from);
  EXPECT_EQ(parsed.to, packet.to);
  EXPECT_EQ(parsed.protocol, kProtocolIcmp);
  EXPECT_FALSE(parsed.is_fragment());
  EXPECT_EQ(Bytes(parsed.payload.begin(), parsed.payload.end()), payload) << "without the padding";
}

TEST_P(IpFamilies, FragmentsFitTheMtuAndCoverThePayload) {
  for (const size_t mtu : {1280, 1500, 9000}) {
    for (const size_t size : {1400, 1480, 1481, 20000, 65515}) {
      const Bytes payload = counted(size);
      const IpPacket packet = packet_of(GetParam().first, GetParam().second, payload);
      Bytes joined;
      const auto packets = ip_packets(packet, mtu);
      for (const Bytes& bytes : packets) {
        EXPECT_LE(bytes.size(), mtu);
        const IpPacket part = parse_ip_packet(packet.from.is_v6 ? kTypeIpv6 : kTypeIpv4, bytes).value();
        EXPECT_EQ(part.fragment_offset, joined.size());
        EXPECT_EQ(part.is_fragment(), packets.size() > 1);
        EXPECT_EQ(part.has_more_fragments, &bytes != &packets.back());
        if (part.is_fragment()) {
          EXPECT_EQ(part.id, 77u);
        }
        append(&joined, part.payload);
      }
      EXPECT_EQ(joined, payload) << mtu << " " << size;
    }
  }
}

TEST_P(IpFamilies, EveryShorteningIsAnError) {
  const Bytes payload = counted(3000);
  const IpPacket packet = packet_of(GetParam().first, GetParam().second, payload);
  const Bytes bytes = ip_packets(packet, 1500)[0];
  const uint16_t type = packet.from.is_v6 ? kTypeIpv6 : kTypeIpv4;
  for (size_t length = 0; length < bytes.size(); ++length) {
    // A copy of that size, so that a sanitizer sees a read behind it.
    const Bytes cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_FALSE(parse_ip_packet(type, cut).is_ok()) << length;
  }
  EXPECT_TRUE(parse_ip_packet(type, bytes).is_ok());
}

TEST(Ipv4, MalformedHeadersAreErrors) {
  const Bytes good = ip_packets(packet_of("192.0.2.1", "192.0.2.2", counted(40)), 1500)[0];
  for (const auto& [at, value] :
       std::vector<std::pair<size_t, uint8_t>>{{0, 0x65}, {0, 0x44}, {0, 0x4f}, {3, 10}, {8, 1}}) {
    Bytes bad = good;
    bad[at] = value;
    EXPECT_FALSE(parse_ip_packet(kTypeIpv4, bad).is_ok()) << at;
  }
}

TEST(Arp, ParsesBackAndRefusesOthers) {
  const ArpPacket packet = {1, *parse_mac("52:54:00:00:00:01"), *parse_ip("192.0.2.1"), Mac{}, *parse_ip("192.0.2.2")};
  Bytes bytes = arp_bytes(packet);
  const auto parsed = parse_arp(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->operation, 1);
  EXPECT_EQ(parsed->sender_mac, packet.sender_mac);
  EXPECT_EQ(parsed->target, packet.target);
  EXPECT_FALSE(parse_arp(View(bytes).first(27)));
  bytes[1] = 6;
  EXPECT_FALSE(parse_arp(bytes)) << "not Ethernet";
}

TEST(VnetHdr, IsReadInTheHostsOrder) {
  const Bytes bytes = {1, 3, 0x36, 0, 0xa8, 5, 0x22, 0, 6, 0, 0, 0};
  const VnetHdr header = read_vnet_hdr(bytes);
  EXPECT_TRUE(header.needs_checksum());
  EXPECT_EQ(header.gso_type, 3);
  EXPECT_EQ(header.gso_size, 1448);
  EXPECT_EQ(header.csum_start, 34);
  EXPECT_EQ(header.csum_offset, 6);
}

TEST(CompleteChecksum, MakesThePartSumToNothing) {
  for (const size_t size : {60, 61}) {
    Bytes frame = counted(size);
    VnetHdr header;
    header.flags = 1;
    header.csum_start = 20;
    header.csum_offset = 6;
    ASSERT_TRUE(complete_checksum(header, frame).is_ok());
    // The sender's own value was part of the sum: what remains is that value, the pseudo header's.
    const uint64_t sum = partial_sum(View(frame).subspan(20));
    const Bytes original = counted(size);
    EXPECT_EQ(checksum_of(sum + static_cast<uint16_t>(load16(original, 26))), 0) << size;
  }
}

TEST(CompleteChecksum, FieldOutsideTheFrameIsAnError) {
  Bytes frame = counted(60);
  VnetHdr header;
  header.flags = 1;
  for (const auto& [start, offset] :
       std::vector<std::pair<uint16_t, uint16_t>>{{58, 1}, {60, 0}, {65535, 65535}, {0, 59}}) {
    header.csum_start = start;
    header.csum_offset = offset;
    EXPECT_FALSE(complete_checksum(header, frame).is_ok());
  }
  EXPECT_EQ(frame, counted(60));
  header.flags = 0;
  EXPECT_TRUE(complete_checksum(header, frame).is_ok());
}

TEST(Pcap, RecordsHaveTimeAndLengthsBeforeTheFrame) {
  EXPECT_EQ(pcap_file_header().size(), 24u);
  const Bytes record = pcap_record(counted(60), 1000000000ll * 3 + 5);
  ASSERT_EQ(record.size(), 16u + 60u);
  uint32_t head[4];
  memcpy(head, record.data(), sizeof head);
  EXPECT_EQ(head[0], 3u);
  EXPECT_EQ(head[1], 5u);
  EXPECT_EQ(head[2], 60u);
  EXPECT_EQ(head[3], 60u);
}

}  // namespace
}  // namespace tapferry
