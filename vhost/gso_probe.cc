// SPDX-License-Identifier: MIT
//
// Theory of operation. virtio_net_hdr_to_skb() (include/linux/virtio_net.h) refuses a GSO type that it doesn't know with EINVAL, and
// that whatever the frame says. It is called before the kernel looks whether the interface is up, so that EIO, which a tap
// that is down gives, is said of types that it knows (drivers/net/tun.c, tun_get_user()). A type that no kernel has goes
// first, and last: unless both are refused, the other answers are worth nothing.
//
// Why the frames harm nobody:
//   - None of them is really GSO. Its data is shorter than gso_size, and the kernel makes an ordinary frame of 78 bytes out of
//     that ("too small packets"), so no segmenter and no network card meets a frame that it wasn't made for.
//   - Its destination, 01:80:c2:00:00:01, is the one of 802.3's PAUSE: a bridge drops it before it learns from it or forwards it
//     (net/bridge/br_input.c), and so does every switch.
//   - Its EtherType, 0x88b5, is the one that IEEE 802 sets aside for experiments within one place: no protocol of the host
//     takes it, so a tap that is no port drops it.
//   - On a macvtap, which sends what it is given, such a frame goes as far as the next switch, under the macvtap's own address,
//     as the guest's own frames do. Siblings in bridge mode don't listen to that address.
// What remains are the interface's counters: four frames, and an error for each one that was refused.
#include "vhost/gso_probe.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/syscall.h"
#include "vhost/merge_rules.h"

namespace tapferry {
namespace {

constexpr uint8_t kNoGsoType = 2;         // between TCPV4 and UDP; nobody has given it a meaning
constexpr uint8_t kNetworkHeader = 40;    // as long as IPv6's, the longest that a type asks for
constexpr uint8_t kTransportHeader = 20;  // as long as TCP's
constexpr uint8_t kData = 4;
constexpr uint8_t kTransportAt = kEthernetBytes + kNetworkHeader;
constexpr uint8_t kFrameBytes = kTransportAt + kTransportHeader + kData;
constexpr uint8_t kTcpChecksumAt = 16;
constexpr uint8_t kUdpChecksumAt = 6;

using ProbeFrame = std::array<uint8_t, 16 + kFrameBytes>;

// The interface's own address, or one of the kind that software may make up (02:...).
void put_source(int tap_fd, uint8_t* mac) {
  mac[0] = 2;
  ifreq request = {};
  if (ioctl(tap_fd, SIOCGIFHWADDR, &request) == 0) memcpy(mac, request.ifr_hwaddr.sa_data, 6);
}

// 0: taken; otherwise the errno value.
int answer_to(int tap_fd, uint8_t gso_type, ProbeFrame* probe, unsigned header_bytes) {
  uint8_t* vnet = probe->data();
  vnet[0] = kVnetNeedsChecksum;
  vnet[1] = gso_type;
  vnet[5] = 1;  // gso_size: 257 in either byte order, more than kData
  vnet[4] = 1;
  vnet[2] = vnet[3] = 0;
  const uint16_t start = kTransportAt;
  const uint16_t offset = gso_type == kGsoUdp ? kUdpChecksumAt : kTcpChecksumAt;
  memcpy(vnet + 6, &start, sizeof start);
  memcpy(vnet + 8, &offset, sizeof offset);
  const size_t bytes = header_bytes + kFrameBytes;
  const ssize_t written = retry_on_eintr([&] { return write(tap_fd, probe->data(), bytes); });
  if (written >= 0) return 0;
  return errno;
}

}  // namespace

MergeTypes probe_gso(int tap_fd, unsigned header_bytes) {
  ProbeFrame probe = {};
  if (header_bytes > probe.size() - kFrameBytes) return {};
  uint8_t* frame = probe.data() + header_bytes;
  const std::array<uint8_t, 6> nowhere = {0x01, 0x80, 0xc2, 0x00, 0x00, 0x01};
  std::copy(nowhere.begin(), nowhere.end(), frame);
  put_source(tap_fd, frame + 6);
  frame[12] = 0x88;
  frame[13] = 0xb5;

  const auto takes = [&](uint8_t type) {
    const int answer = answer_to(tap_fd, type, &probe, header_bytes);
    return answer == 0 || answer == EIO;
  };
  const auto refuses = [&](uint8_t type) { return answer_to(tap_fd, type, &probe, header_bytes) == EINVAL; };
  if (!refuses(kNoGsoType)) return {};
  const MergeTypes types = {.tcp4 = takes(kGsoTcp4), .tcp6 = takes(kGsoTcp6), .udp = takes(kGsoUdp)};
  return refuses(kNoGsoType) ? types : MergeTypes{};
}

}  // namespace tapferry
