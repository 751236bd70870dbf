// SPDX-License-Identifier: MIT
//
// `tapferry-vhost`: a vhost-user back-end that moves frames between a guest's virtqueues and a tap. run() is its table of contents;
// docs/ARCHITECTURE.md says which file is which layer.

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/syscall.h"
#include "config.h"
#include "vhost/link_status.h"
#include "vhost/listen.h"
#include "vhost/memory_guard.h"
#include "vhost/net_device.h"
#include "vhost/observer.h"
#include "vhost/options.h"
#include "vhost/program.h"
#include "vhost/sandbox.h"
#include "vhost/server.h"
#include "vhost/signals.h"
#include "vhost/taps.h"

namespace tapferry {
namespace {

constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

// A descriptor of ours under the number of a closed stdio would be written to as if it were that.
void open_stdio() {
  int fd;
  do {
    fd = open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) close(fd);
}

int print(const VhostOptions& options) {
  if (options.print == VhostOptions::Print::kHelp) fputs(options.help.c_str(), stdout);
  if (options.print == VhostOptions::Print::kVersion) printf("tapferry-vhost %s\n", TAPFERRY_VERSION);
  // The @VHostUserBackendCapabilities of QEMU's vhost-user.json; network back-ends have no optional features there.
  if (options.print == VhostOptions::Print::kCapabilities) puts(R"({"type":"net","features":[]})");
  if (fflush(stdout) == 0) return kExitDone;
  log_error(kVhostProgram, Error::from_errno("write", "stdout", errno));
  return kExitFailed;
}

Result<Taps> get_taps(const VhostOptions& options) {
  return options.net ? Taps::ask(options.helper, *options.net) : Taps::take(options.tap_fds);
}

Result<FrontEndSocket> get_socket(const VhostOptions& options) {
  return options.socket_path ? FrontEndSocket::listen_at(*options.socket_path)
                             : FrontEndSocket::from_fd(options.socket_fd);
}

// Nothing where the interface can't be seen: then nothing can be told of it either.
Result<std::optional<LinkStatus>> watch_link(const Taps& taps, bool is_needed) {
  if (taps.abilities().mtu == 0 && is_needed) {
    return Error("follow the link of", taps.ifname(), "it is in another network namespace");
  }
  if (taps.abilities().mtu == 0) return std::optional<LinkStatus>();
  return std::optional(TRY(LinkStatus::open(taps.ifname())));
}

Result<Fd> make_event_fd() {
  Fd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.is_open()) return Error::from_errno("make", "an eventfd", errno);
  return fd;
}

Result<std::vector<std::unique_ptr<Worker>>> start_workers(const VhostOptions& options, const Taps& taps,
                                                           FrameTap* frame_tap, const Fd& trouble) {
  std::vector<std::unique_ptr<Worker>> workers;
  for (const TapPort& port : taps.ports()) {
    WorkerOptions worker;
    worker.pair = static_cast<unsigned>(workers.size());
    worker.tap_fd = port.fd();
    worker.engine = options.engine;
    worker.busy_poll_us = options.busy_poll_us;
    worker.frame_tap = frame_tap;
    worker.event_fd = trouble.get();
    workers.push_back(TRY(Worker::start(worker)));
  }
  return workers;
}

// "serves tap7 (2 queue pairs, MTU 1500) at /run/vm.sock; engine io_uring; coalesces TCPv4, TCPv6, UDP"
std::string describe_start(const VhostOptions& options, const FrontEndSocket& socket, const NetDevice& device,
                           const std::string& ifname, const std::string& lacks) {
  const NetAbilities& abilities = device.abilities();
  std::string line = "serves " + ifname + " (" + std::to_string(abilities.queue_pairs) +
                     (abilities.queue_pairs == 1 ? " queue pair" : " queue pairs");
  if (abilities.mtu != 0) line += ", MTU " + std::to_string(abilities.mtu);
  line += ") at " + socket.name() + "; engine ";
  const Worker& worker = *device.workers().front();
  line += worker.engine_name();
  if (!worker.engine_reason().empty()) line += ": " + worker.engine_reason();
  const MergeTypes& merge = abilities.merge;
  std::string merged;
  for (const auto& [is_merged, name] :
       {std::pair{merge.tcp4, "TCPv4"}, std::pair{merge.tcp6, "TCPv6"}, std::pair{merge.udp, "UDP"}}) {
    if (is_merged) merged += (merged.empty() ? "" : ", ") + std::string(name);
  }
  line += merged.empty() ? "; doesn't coalesce" : "; coalesces " + merged;
  if (merged.empty() && options.has_coalescing) line += ": this kernel takes no merged frames";
  if (!lacks.empty()) line += "; " + lacks + " on this kernel";
  return line;
}

// One byte: front-ends can connect now, and the sandbox is closed.
Status tell_supervisor(int fd) {
  if (fd < 0) return {};
  return write_all(fd, "+", "the supervisor's pipe");
}

Status run(const VhostOptions& options) {
  Taps taps = TRY(get_taps(options));
  FrontEndSocket socket = TRY(get_socket(options));
  StateFile state = TRY(StateFile::open(options.state_fd, 2 * taps.abilities().queue_pairs));
  std::optional<LinkStatus> link = TRY(watch_link(taps, options.follows_link));
  NetAbilities abilities = taps.abilities();
  if (options.has_coalescing) abilities.merge = taps.merge_types();
  const Signals signals = TRY(Signals::open());
  const Fd trouble = TRY(make_event_fd());
  std::unique_ptr<Observer> observer = TRY(Observer::open(options));

  TRY(install_memory_guard());
  const std::string lacks = TRY(enter_sandbox(socket.folder()));
  auto workers = TRY(start_workers(options, taps, observer->frame_tap(), trouble));
  SystemCalls calls;
  for (const auto& worker : workers) {
    (std::string_view(worker->engine_name()) == "io_uring" ? calls.has_uring : calls.has_epoll) = true;
  }
  calls.can_unlink = !socket.folder().empty();
  TRY(close_sandbox(calls));

  const auto set_tap = [&](unsigned tun_f, unsigned header_bytes) { return taps.set(tun_f, header_bytes); };
  NetDevice device({std::move(workers), abilities, set_tap, std::move(state),
                    [](const Error& error) { log_error(kVhostProgram, error); }});
  observer->watch(device.workers());
  log_line(kVhostProgram, describe_start(options, socket, device, taps.ifname(), lacks));
  TRY(tell_supervisor(options.supervisor_fd));

  ServerParts parts;
  parts.socket = &socket;
  parts.device = &device;
  parts.signals = &signals;
  parts.link = link ? &*link : nullptr;
  parts.follows_link = options.follows_link;
  parts.trouble_fd = trouble.get();
  parts.supervisor_fd = options.supervisor_fd;
  parts.stats_fd = observer->timer_fd();
  parts.on_stats = [&] { observer->print_interval(); };
  parts.on_dump = [&] { observer->dump(); };
  Status served = Server(std::move(parts)).run();
  observer->finish();
  return served;
}

int start(int argc, char** argv) {
  const auto options = parse_vhost_options(argc, argv);
  if (!options.is_ok()) {
    log_error(kVhostProgram, options.error());
    log_line(kVhostProgram, "try: tapferry-vhost --help");
    return kExitUsage;
  }
  if (options.value().print != VhostOptions::Print::kNothing) return print(options.value());
  const Status status = run(options.value());
  if (status.is_ok()) return kExitDone;
  log_error(kVhostProgram, status.error());
  return kExitFailed;
}

}  // namespace
}  // namespace tapferry

int main(int argc, char** argv) {
  tapferry::open_stdio();
  return tapferry::start(argc, argv);
}
