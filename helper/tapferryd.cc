// SPDX-License-Identifier: MIT
//
// tapferryd: serves those whom a setuid program can't serve, by a socket. Two processes: this one, which has privilege and reads
// nothing that a client sent, and tapferry-broker, which reads it and has none (helper/launcher.h has the whole of it).
#include <cap-ng.h>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/syscall.h"
#include "config.h"
#include "helper/adopt.h"
#include "helper/adoption.h"
#include "helper/event_log.h"
#include "helper/launcher.h"
#include "helper/peer.h"
#include "helper/privilege.h"
#include "helper/sane.h"
#include "helper/service.h"
#include "helper/service_account.h"
#include "paths.h"

namespace tapferry {
namespace {

constexpr const char* kProgram = "tapferryd";
constexpr const char* kBrokerAccount = "tapferry-broker";
// tapferry-broker's descriptors; broker/main.cc.
constexpr int kBrokersListener = 3;
constexpr int kBrokersChannel = 4;
constexpr int kBrokerEndMs = 5000;
constexpr int kUsageStatus = 2;

constexpr const char* kUsage =
    "Usage: tapferryd [--socket=PATH] [--helper=PATH] [--broker=PATH]\n"
    "       tapferryd --adopt\n"
    "Hands interfaces over by a socket, to programs that a setuid helper can't serve: tapferryd(8).\n"
    "\n"
    "  --socket=PATH   where to listen, unless a service manager gave a socket (default: " TAPFERRY_BROKER_SOCKET
    ")\n"
    "  --helper=PATH   the program that makes the interfaces (default: " TAPFERRY_HELPER_PATH
    ")\n"
    "  --broker=PATH   the one that speaks with clients (default: " TAPFERRY_BROKER_PATH
    ")\n"
    "  --adopt         take up what a warden that was killed watched over, and end\n"
    "  --version       print the version\n"
    "  --help          print this\n";

struct Options {
  std::string socket = TAPFERRY_BROKER_SOCKET;
  std::string helper = TAPFERRY_HELPER_PATH;
  std::string broker = TAPFERRY_BROKER_PATH;
  bool is_to_adopt = false;
  const char* to_print = nullptr;
};

Result<Options> read_options(int argc, char* argv[]) {
  constexpr option kOptions[] = {{"socket", required_argument, nullptr, 's'},
                                 {"helper", required_argument, nullptr, 'e'},
                                 {"broker", required_argument, nullptr, 'b'},
                                 {"adopt", no_argument, nullptr, 'a'},
                                 {"version", no_argument, nullptr, 'v'},
                                 {"help", no_argument, nullptr, 'h'},
                                 {nullptr, 0, nullptr, 0}};
  Options options;
  opterr = 0;
  for (int found; (found = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    switch (found) {
      case 's': options.socket = optarg; break;
      case 'e': options.helper = optarg; break;
      case 'b': options.broker = optarg; break;
      case 'a': options.is_to_adopt = true; break;
      case 'v': options.to_print = "tapferryd " TAPFERRY_VERSION "\n"; break;
      case 'h': options.to_print = kUsage; break;
      default: return Error("read", "the command line", "an option is unknown, or lacks its value");
    }
  }
  if (optind < argc) return Error("read", "the command line", "`" + std::string(argv[optind]) + "' is no option");
  return options;
}

// Should: keep in the bounding set what a helper and adopting need, and effective what starting one needs; CAP_NET_ADMIN is raised to look at a
// socket (helper/peer.h). Must not: have more. (A program that is executed with effective uid 0 gets the bounding set.)
Status limit_capabilities() {
  constexpr auto kBoth = static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED);
  capng_clear(CAPNG_SELECT_BOTH);
  const bool is_chosen = capng_updatev(CAPNG_ADD, kBoth, CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_KILL, -1) == 0 &&
                         capng_updatev(CAPNG_ADD, CAPNG_PERMITTED, CAP_NET_ADMIN, -1) == 0 &&
                         capng_updatev(CAPNG_ADD, CAPNG_BOUNDING_SET, CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_KILL,
                                       CAP_NET_ADMIN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_MKNOD, CAP_SYS_PTRACE, -1) == 0;
  if (is_chosen && capng_apply(CAPNG_SELECT_BOTH) == 0) return {};
  return Error::from_errno("limit", "capabilities", EPERM)
      .with_hint("tapferryd needs to be root, with all that tapferry-helper needs; see tapferryd(8)");
}

// Signals are read from here from now on; a child that executes something unblocks them first.
Result<Fd> take_signals(sigset_t* signals) {
  sigemptyset(signals);
  sigaddset(signals, SIGTERM);
  sigaddset(signals, SIGINT);
  if (sigprocmask(SIG_BLOCK, signals, nullptr) != 0) return Error::from_errno("block", "signals", errno);
  Fd fd(signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.is_open()) return Error::from_errno("make", "a signalfd", errno);
  return fd;
}

// Should: be a user of its own, without any capability, with two sockets and stderr. Must not: come back.
Status become_broker(const Options& options, const ServiceAccount& account, const Fd& listener, const Fd& channel) {
  TRY(drop_to_service(account, {}));
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  constexpr int kAbove = 16;
  const int high_listener = fcntl(listener.get(), F_DUPFD_CLOEXEC, kAbove);
  const int high_channel = fcntl(channel.get(), F_DUPFD_CLOEXEC, kAbove);
  if (dup2(high_listener, kBrokersListener) < 0 || dup2(high_channel, kBrokersChannel) < 0 ||
      close_range(kBrokersChannel + 1, ~0u, 0) != 0) {
    return Error::from_errno("move", "descriptors", errno);
  }
  std::string path = options.broker;
  char* argv[] = {path.data(), nullptr};
  char* environment[] = {nullptr};
  execve(path.c_str(), argv, environment);
  return Error::from_errno("start", path, errno);
}

struct Broker {
  Fd channel;
  pid_t pid = 0;
};

Result<Broker> start_broker(const Options& options, const Fd& listener) {
  const ServiceAccount account = TRY(service_account(kBrokerAccount));
  auto [own, brokers] = TRY(socket_pair(SOCK_SEQPACKET));
  const pid_t child = fork();
  if (child < 0) return Error::from_errno("start", options.broker, errno);
  if (child == 0) {
    log_error(kProgram, become_broker(options, account, listener, brokers).error());
    _exit(1);
  }
  return Broker{std::move(own), child};
}

// It ends with the channel. Whoever starts tapferryd next finds nothing left over then.
void wait_for_broker(pid_t pid) {
  const Fd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  pollfd ended = {process.get(), POLLIN, 0};
  if (process.is_open()) (void)poll(&ended, 1, kBrokerEndMs);
}

Status serve(const ServiceManager& manager, const Options& options) {
  const bool is_own_socket = !manager.has_socket;
  Fd listener = TRY(is_own_socket ? make_listener(options.socket) : inherited_listener());
  sigset_t taken;
  const Fd signals = TRY(take_signals(&taken));
  EventLog log = EventLog::connect();
  TRY(limit_capabilities());
  const SocketFile file = TRY(file_of_socket(listener.get()));
  Broker broker = TRY(start_broker(options, listener));
  listener.reset();
  notify(manager, "READY=1\nSTATUS=serving");
  const Status status = Launcher(std::move(broker.channel), file, options.helper, std::move(log)).serve(signals.get());
  notify(manager, "STOPPING=1");
  wait_for_broker(broker.pid);
  if (is_own_socket) unlink(options.socket.c_str());
  return status;
}

// The exit status.
Result<int> adopt() {
  const bool is_done = TRY(adopt_orphans());
  return is_done ? 0 : kAdoptLaterStatus;
}

Result<int> run(int argc, char* argv[]) {
  const ServiceManager manager = TRY(read_service_manager());
  TRY(make_sane());
  const Result<Options> read = read_options(argc, argv);
  if (!read.is_ok()) {
    log_error(kProgram, read.error());
    return kUsageStatus;
  }
  const Options& options = read.value();
  if (options.to_print != nullptr) {
    TRY(write_all(STDOUT_FILENO, options.to_print, "standard output"));
    return 0;
  }
  if (geteuid() != 0 || getuid() != 0) {
    return Error("serve", "clients", "not started by root").with_hint("see tapferryd(8)");
  }
  if (options.is_to_adopt) return adopt();
  TRY(serve(manager, options));
  return 0;
}

}  // namespace
}  // namespace tapferry

int main(int argc, char* argv[]) {
  const auto status = tapferry::run(argc, argv);
  if (status.is_ok()) return status.value();
  tapferry::log_error(tapferry::kProgram, status.error());
  return 1;
}
