// SPDX-License-Identifier: MIT
#include "vhost/taps.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "net/ask.h"
#include "vhost/gso_probe.h"

namespace tapferry {
namespace {

constexpr unsigned kHeaderBytes = 12;  // until a guest says otherwise

Result<Fd> inherit(int number) {
  const std::string name = "descriptor " + std::to_string(number);
  const int flags = fcntl(number, F_GETFD);
  if (flags < 0) return Error::from_errno("use", name, errno);
  // Inherited ones can't be close-on-exec: it is one of our own, or was named twice.
  if ((flags & FD_CLOEXEC) != 0) return Error::from_errno("use", name, EBADF);
  if (fcntl(number, F_SETFD, FD_CLOEXEC) != 0) return Error::from_errno("use", name, errno);
  return Fd(number);
}

}  // namespace

Result<Taps> Taps::ask(const std::string& helper, const Spec& spec) {
  auto answer = TRY(ask_helper(ask_by_net(helper, to_string(spec))));
  GrantedInterface granted = TRY(take_interface(std::move(answer)));
  return prepare(std::move(granted.queues));
}

Result<Taps> Taps::take(const std::vector<int>& numbers) {
  std::vector<Fd> queues;
  for (const int number : numbers) queues.push_back(TRY(inherit(number)));
  return prepare(std::move(queues));
}

Result<Taps> Taps::prepare(std::vector<Fd> queues) {
  Taps taps;
  for (Fd& queue : queues) {
    TapPort port = TRY(TapPort::open(std::move(queue)));
    if (!taps.ports_.empty() && port.ifname() != taps.ifname()) {
      return Error("use", port.ifname(), "the queues before it are of " + taps.ifname());
    }
    TRY(port.set_header_bytes(kHeaderBytes));
    taps.ports_.push_back(std::move(port));
  }
  return taps;
}

NetAbilities Taps::abilities() const {
  NetAbilities abilities;
  abilities.queue_pairs = static_cast<unsigned>(ports_.size());
  abilities.tap_offloads = ports_.front().offloads();
  abilities.mtu = ports_.front().mtu();
  return abilities;
}

MergeTypes Taps::merge_types() const { return probe_gso(ports_.front().fd(), kHeaderBytes); }

Status Taps::set(unsigned tun_f, unsigned header_bytes) {
  for (const TapPort& port : ports_) {
    // What is set on the first one holds for the whole tap.
    if (&port != &ports_.front() && !port.can_be_set()) continue;
    TRY(port.set_header_bytes(header_bytes));
    TRY(port.set_offloads(tun_f));
  }
  const bool has_lost_some = (offloads_ & ~tun_f) != 0;
  offloads_ = tun_f;
  if (!has_lost_some) return {};
  for (const TapPort& port : ports_) port.discard_queued();
  return {};
}

}  // namespace tapferry
