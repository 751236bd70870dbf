// SPDX-License-Identifier: MIT
//
// The host's side of a load: a packet socket on an interface.
#include <cerrno>
#include <cstring>
#include <ctime>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "tests/lib/front/load.h"
#include "tests/lib/front/load_frames.h"

namespace tapferry::front {
namespace {

constexpr unsigned kNumBuffers = 2;  // that a guest's header has and a packet socket's hasn't
constexpr unsigned kHeader = 10;
constexpr unsigned kMaxBurst = 64;
constexpr unsigned kMacs = 12;

uint64_t now_ns(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

// Frames go past the queueing discipline to the driver, and have virtio-net headers of 10 bytes.
Result<Fd> open_interface(const std::string& name, bool is_receiving) {
  const auto protocol = static_cast<uint16_t>(is_receiving ? __builtin_bswap16(ETH_P_ALL) : 0);
  Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, is_receiving ? protocol : 0));
  if (!socket.is_open()) return Error::from_errno("open", "a packet socket", errno);
  const int on = 1, buffer = 32 << 20;
  setsockopt(socket.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  setsockopt(socket.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
  setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_protocol = protocol;
  address.sll_ifindex = static_cast<int>(if_nametoindex(name.c_str()));
  if (setsockopt(socket.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0 || address.sll_ifindex == 0 ||
      bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return Error::from_errno("bind to", name, errno);
  }
  return socket;
}

// A full queue of the interface (ENOBUFS) drops the frame: it isn't counted.
Status inject(const LoadOptions& options, int socket, LoadResult* result) {
  LoadFrames frames = TRY(LoadFrames::make(options));
  const unsigned burst = std::min(options.burst, kMaxBurst);
  const size_t stride = (frames.bytes() + 63) & ~size_t{63};
  std::vector<uint8_t> buffers(stride * burst);
  iovec parts[kMaxBurst];
  mmsghdr messages[kMaxBurst] = {};
  for (unsigned i = 0; i < burst; ++i) {
    frames.write(&buffers[i * stride], true);
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  const uint64_t start = now_ns(CLOCK_MONOTONIC), end = start + static_cast<uint64_t>(options.seconds * 1e9);
  uint64_t tried = 0;
  for (uint64_t now; (now = now_ns(CLOCK_MONOTONIC)) < end;) {
    if (options.rate > 0 && static_cast<double>(now - start) * options.rate / 1e9 < static_cast<double>(tried + burst))
      continue;
    for (unsigned i = 0; i < burst; ++i) {
      uint8_t* frame = &buffers[i * stride];
      frames.write(frame, false);
      // The header's first 10 bytes move up to the frame.
      memmove(frame + kNumBuffers, frame, kHeader);
      parts[i] = {frame + kNumBuffers, frames.bytes() - kNumBuffers};
    }
    const int sent = sendmmsg(socket, messages, burst, 0);
    for (unsigned i = 0; i < burst; ++i) memmove(&buffers[i * stride], &buffers[i * stride + kNumBuffers], kHeader);
    if (sent < 0 && errno != ENOBUFS && errno != EAGAIN) return Error::from_errno("send to", options.interface, errno);
    tried += burst;
    result->frames += static_cast<uint64_t>(std::max(sent, 0));
    ++result->bursts;
  }
  result->bytes = result->frames * (frames.bytes() - 12);
  return {};
}

Status bounce(const LoadOptions& options, int socket, LoadResult* result) {
  std::vector<uint8_t> frame(1 << 17);
  const uint64_t end = now_ns(CLOCK_MONOTONIC) + static_cast<uint64_t>(options.seconds * 1e9);
  while (now_ns(CLOCK_MONOTONIC) < end) {
    const ssize_t length = recv(socket, frame.data(), frame.size(), options.sleeps ? 0 : MSG_DONTWAIT);
    if (length < 0 && errno == EAGAIN) continue;
    if (length < 0) return Error::from_errno("receive from", options.interface, errno);
    uint8_t* macs = &frame[kHeader];
    for (unsigned i = 0; i < kMacs / 2; ++i) std::swap(macs[i], macs[i + kMacs / 2]);
    if (send(socket, frame.data(), static_cast<size_t>(length), 0) != length) continue;
    ++result->frames;
    result->bytes += static_cast<uint64_t>(length) - kHeader;
  }
  return {};
}

}  // namespace

Status load_host(const LoadOptions& options, LoadResult* result) {
  const bool is_receiving = options.kind == "bounce";
  const Fd socket = TRY(open_interface(options.interface, is_receiving));
  if (is_receiving && options.sleeps) {
    const timeval patience = {0, 100000};
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  const uint64_t start = now_ns(CLOCK_MONOTONIC);
  TRY(is_receiving ? bounce(options, socket.get(), result) : inject(options, socket.get(), result));
  result->seconds = static_cast<double>(now_ns(CLOCK_MONOTONIC) - start) / 1e9;
  result->cpu_seconds = static_cast<double>(now_ns(CLOCK_PROCESS_CPUTIME_ID)) / 1e9;
  return {};
}

}  // namespace tapferry::front
