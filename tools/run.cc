// SPDX-License-Identifier: MIT
//
// `tapferry run`: asks for every interface, all or none, then becomes the command. What was handed over survives that,
// under the lowest numbers from 3; if anything fails before, the interfaces go with this process. With --vhost-user the
// descriptors go to a tapferry-vhost for each interface instead, and the command gets the sockets (tools/backend.h).

#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <span>
#include <string>
#include <unistd.h>
#include <vector>

#include "base/fd.h"
#include "net/ask.h"
#include "net/ask_broker.h"
#include "net/spec.h"
#include "tools/backend.h"
#include "tools/command.h"
#include "tools/compose.h"
#include "tools/granted_nic.h"
#include "tools/options.h"

namespace tapferry {
namespace {

struct RunOptions {
  std::string helper;
  Via via = Via::kAuto;
  std::vector<std::string> spec_texts;
  std::vector<Spec> specs;
  std::vector<std::string> command;
  Way way = Way::kDescriptors;
};

constexpr CommandHelp kHelp = {
    "-- COMMAND [ARGUMENT]...",
    "Asks tapferry-helper for the interfaces, then executes COMMAND, which inherits their\n"
    "descriptors. COMMAND is found in PATH.",
    "In COMMAND's arguments are replaced:\n"
    "  {fds}       the descriptors of the first --net, one for each queue (3:4)\n"
    "  {fdlist}    the same with commas (3,4)\n"
    "  {vhostfds}  its descriptors of /dev/vhost-net\n"
    "  {mac}       the MAC address that its guest should use\n"
    "  {ifname}    its name on this host\n"
    "  {socket}    with --vhost-user: what the VMM connects to\n"
    "  {fds1}...   the same of the second --net, and so on\n"
    "A command named qemu-system-*, qemu-kvm or kvm whose arguments have none of these gets\n"
    "-netdev and -device for every --net.\n"
    "With --vhost-user a tapferry-vhost has the descriptors and moves the frames; it is started\n"
    "again should it die, and ends with COMMAND.\n"
    "\n"
    "SPEC is bridge=BRIDGE, tap[=NAME], macvtap=PARENT or device=WHICH, then ,key=value...:\n"
    "see tapferry(1).\n"
    "\n"
    "  tapferry run --net=bridge=br0,queues=2 -- qemu-system-x86_64 -m 1G disk.img\n"
    "  tapferry run --net=bridge=br0 -- my-vmm --tap-fd={fds} --mac={mac}\n"};

// A command that has no place for the descriptors would hold them without knowing.
Status check_command(const RunOptions& options) {
  const std::vector<std::string>& command = options.command;
  if (has_placeholder(command)) return check_placeholders(command, options.specs, options.way);
  if (is_qemu(command[0])) return {};
  if (options.way == Way::kVhostUser) {
    return Error("run", command[0], "it isn't QEMU, and none of its arguments says where the socket goes")
        .with_hint("write {socket} there, which becomes its path");
  }
  return Error("run", command[0], "it isn't QEMU, and none of its arguments says where the descriptors go")
      .with_hint("write {fds} there, which becomes their numbers");
}

Result<RunOptions> read_options(int argc, char** argv) {
  g_autofree char* helper = nullptr;
  g_autofree char* via = nullptr;
  g_auto(GStrv) nets = nullptr;
  g_auto(GStrv) command = nullptr;
  gboolean is_vhost_user = FALSE;
  const GOptionEntry entries[] = {
      {"net", 'n', 0, G_OPTION_ARG_FILENAME_ARRAY, &nets, "an interface to ask for (may be repeated)", "SPEC"},
      {"helper", 0, 0, G_OPTION_ARG_FILENAME, &helper, "the program to ask (default: tapferry-helper)", "PATH"},
      {"via", 0, 0, G_OPTION_ARG_STRING, &via, "whom to ask (default: auto)", "helper|broker|auto"},
      {"vhost-user", 0, 0, G_OPTION_ARG_NONE, &is_vhost_user, "tapferry-vhost moves the frames", nullptr},
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &command, nullptr, nullptr},
      {}};
  TRY(parse_options(kHelp, entries, argc, argv));
  RunOptions options;
  options.helper = helper_path(helper);
  options.via = TRY(via_of(via, helper));
  options.spec_texts = strings_of(nets);
  options.command = strings_of(command);
  if (options.spec_texts.empty()) return Error("read", "the command line", "--net=SPEC is missing");
  if (options.command.empty()) return Error("read", "the command line", "the command is missing");
  for (const std::string& text : options.spec_texts) options.specs.push_back(TRY(parse_spec(text)));
  if (is_vhost_user) {
    options.way = Way::kVhostUser;
    for (size_t i = 0; i < options.specs.size(); ++i) {
      TRY(check_vhost_user(options.specs[i], options.spec_texts[i]));
    }
  }
  TRY(check_command(options));
  return options;
}

// Moves `fd` to the lowest free number from 3 and lets it survive execve(2).
Result<int> keep(Fd fd) {
  const int lowest = fcntl(fd.get(), F_DUPFD, 3);
  if (lowest < 0) return Error::from_errno("keep", "descriptor " + std::to_string(fd.get()), errno);
  if (lowest < fd.get()) return lowest;
  close(lowest);
  if (fcntl(fd.get(), F_SETFD, 0) != 0) {
    return Error::from_errno("keep", "descriptor " + std::to_string(fd.get()), errno);
  }
  return fd.release();
}

// The command has the descriptors.
Status hand_over(std::vector<GrantedInterface> granted, std::vector<Nic>* nics) {
  for (size_t i = 0; i < granted.size(); ++i) {
    for (Fd& fd : granted[i].queues) (*nics)[i].fds.push_back(TRY(keep(std::move(fd))));
    for (Fd& fd : granted[i].vhost) (*nics)[i].vhost_fds.push_back(TRY(keep(std::move(fd))));
  }
  return {};
}

// A tapferry-vhost has them.
Status serve(std::vector<GrantedInterface> granted, std::vector<Nic>* nics) {
  std::vector<BackendJob> jobs;
  for (GrantedInterface& interface : granted) {
    jobs.push_back({interface.grant.ifname, std::move(interface.queues)});
  }
  granted.clear();
  RunningBackends running = TRY(start_backends(vhost_path(), std::move(jobs)));
  for (size_t i = 0; i < nics->size(); ++i) (*nics)[i].socket = running.sockets[i];
  TRY(keep(std::move(running.lifeline)));
  return {};
}

Result<std::vector<Nic>> ask_for_all(const RunOptions& options) {
  std::vector<GrantedInterface> granted;
  for (const std::string& spec : options.spec_texts) {
    granted.push_back(TRY(take_interface(TRY(ask_via(options.via, options.helper, spec)))));
  }
  std::vector<Nic> nics;
  for (size_t i = 0; i < granted.size(); ++i) nics.push_back(TRY(describe_nic(granted[i], options.specs[i])));
  TRY(options.way == Way::kVhostUser ? serve(std::move(granted), &nics) : hand_over(std::move(granted), &nics));
  return nics;
}

std::vector<std::string> added_options(const RunOptions& options, std::span<const Nic> nics) {
  if (has_placeholder(options.command)) return {};
  if (options.way != Way::kVhostUser) return qemu_options(nics);
  return qemu_vhost_user_options(options.command, nics, access("/dev/kvm", R_OK | W_OK) == 0);
}

Status execute(std::vector<std::string> command) {
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  return Error::from_errno("run", command[0], errno);
}

}  // namespace

int run_command(int argc, char** argv) {
  auto read = read_options(argc, argv);
  if (!read.is_ok()) return fail_usage("run", read.error());
  const RunOptions options = std::move(read).value();
  auto nics = ask_for_all(options);
  if (!nics.is_ok()) return fail(nics.error());
  std::vector<std::string> command = fill_placeholders(options.command, nics.value());
  for (std::string& option : added_options(options, nics.value())) command.push_back(std::move(option));
  const Status status = execute(std::move(command));
  return fail(status.error());
}

}  // namespace tapferry
