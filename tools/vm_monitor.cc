// SPDX-License-Identifier: MIT
#include "tools/vm_monitor.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <utility>

#include "base/syscall.h"
#include "net/child.h"
#include "net/program_path.h"
#include "tools/options.h"

namespace tapferry {
namespace {

// Busy hosts, and a libvirtd that has to be started first.
constexpr int kLibvirtTimeoutMs = 30000;

constexpr int kSocketNumber = 3;

// Waits for the program, which ends when its socket does.
struct Ended {
  explicit Ended(pid_t child) : pid(child) {}
  ~Ended() {
    retry_on_eintr([&] { return waitpid(pid, nullptr, 0); });
  }
  Ended(const Ended&) = delete;
  Ended& operator=(const Ended&) = delete;

  pid_t pid;
};

Result<Qmp> connect_domain(const VmChoice& choice) {
  auto [ours, theirs] = TRY(socket_pair(SOCK_STREAM));
  ChildProgram child;
  child.path = libvirt_path();
  child.arguments = {"--fd=" + std::to_string(kSocketNumber), "--domain=" + choice.domain};
  if (!choice.uri.empty()) child.arguments.push_back("--connect=" + choice.uri);
  child.descriptors.emplace_back(kSocketNumber, std::move(theirs));
  const pid_t pid = TRY(start_child(std::move(child)));
  return Qmp::talk_over(std::move(ours), choice.name(), std::make_shared<Ended>(pid), kLibvirtTimeoutMs);
}

}  // namespace

VmOptions::~VmOptions() {
  g_free(qmp_);
  g_free(domain_);
  g_free(connect_);
}

Result<VmChoice> VmOptions::choice() const {
  if ((qmp_ == nullptr) == (domain_ == nullptr)) {
    return Error("read", "the command line", "give one of --qmp=SOCKET and --domain=NAME");
  }
  if (connect_ != nullptr && domain_ == nullptr) {
    return Error("read", "the command line", "--connect goes with --domain");
  }
  VmChoice choice;
  choice.qmp = string_of(qmp_).value_or("");
  choice.domain = string_of(domain_).value_or("");
  choice.uri = string_of(connect_).value_or("");
  if (choice.qmp.empty() && choice.domain.empty()) return Error("read", "the command line", "the VM has no name");
  return choice;
}

Result<Qmp> connect_vm(const VmChoice& choice) {
  return choice.qmp.empty() ? connect_domain(choice) : Qmp::connect(choice.qmp);
}

}  // namespace tapferry
