// SPDX-License-Identifier: MIT
#include "helper/adoption.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/service_account.h"
#include "net/warden_names.h"

namespace tapferry {
namespace {

constexpr const char* kWardenAccount = "tapferry";
// Between two: each may disturb what it looks at for some microseconds, so one that finds the same again waits longer.
constexpr auto kFirstDelay = std::chrono::seconds(2);
constexpr auto kLongestDelay = std::chrono::seconds(300);

// One that has the account of wardens, whoever else took the name.
Fd connect_as_observer() {
  const auto account = service_account(kWardenAccount);
  Fd connection(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, kWardenName.data(), kWardenName.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + kWardenName.size());
  ucred peer = {};
  socklen_t peer_length = sizeof peer;
  const bool is_warden = account.is_ok() && connection.is_open() &&
                         connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0 &&
                         getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &peer_length) == 0 &&
                         peer.uid == account.value().uid;
  return is_warden ? std::move(connection) : Fd();
}

[[noreturn]] void become_adopter() {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  close_range(STDERR_FILENO + 1, ~0u, 0);
  std::string name = "tapferryd";
  std::string option = "--adopt";
  char* argv[] = {name.data(), option.data(), nullptr};
  char* environment[] = {nullptr};
  execve("/proc/self/exe", argv, environment);
  _exit(1);
}

}  // namespace

Adoption::Adoption() : due_(Clock::now()), delay_(kFirstDelay) {}

void Adoption::look_for_warden() {
  if (!warden_.is_open()) warden_ = connect_as_observer();
}

void Adoption::add_polled(std::vector<pollfd>* polled) const {
  if (warden_.is_open()) polled->push_back({warden_.get(), POLLIN, 0});
  if (process_.is_open()) polled->push_back({process_.get(), POLLIN, 0});
}

int Adoption::ms_to_next() const {
  if (child_ != 0 || !is_due_) return -1;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(due_ - Clock::now()).count();
  return static_cast<int>(std::max<long>(left, 0)) + 1;
}

void Adoption::start() {
  is_due_ = false;
  child_ = fork();
  if (child_ == 0) become_adopter();
  if (child_ > 0) process_ = Fd(static_cast<int>(syscall(SYS_pidfd_open, child_, 0)));
  if (child_ < 0) child_ = 0;
}

void Adoption::end_of_process() {
  int status = 0;
  if (child_ == 0 || waitpid(child_, &status, WNOHANG) == 0) return;
  child_ = 0;
  process_.reset();
  look_for_warden();
  const bool is_later = WIFEXITED(status) && WEXITSTATUS(status) == kAdoptLaterStatus;
  if (is_later && !is_due_) {
    is_due_ = true;
    due_ = Clock::now() + delay_;
  }
  delay_ = is_later ? std::min<std::chrono::seconds>(2 * delay_, kLongestDelay) : kFirstDelay;
}

// A warden that has nothing left to do says so. One that was killed can't.
void Adoption::read_warden() {
  if (!warden_.is_open()) return;
  char message[16];
  const ssize_t n = recv(warden_.get(), message, sizeof message, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  warden_.reset();
  if (n > 0) return;
  is_due_ = true;
  due_ = std::min(due_, Clock::now());
}

void Adoption::look() {
  read_warden();
  end_of_process();
  if (is_due_ && child_ == 0 && Clock::now() >= due_) start();
}

}  // namespace tapferry
