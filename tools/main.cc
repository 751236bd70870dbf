// SPDX-License-Identifier: MIT
//
// `tapferry`: the command that people type. This file finds the command by its name; each command has its own file.

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#include <vector>

#include "base/log.h"
#include "config.h"
#include "tools/command.h"

namespace tapferry {
namespace {

struct Command {
  const char* name;
  const char* summary;
  int (*run)(int argc, char** argv);
};

constexpr Command kCommands[] = {
    {"run", "gets network interfaces and starts a command with them", run_command},
    {"probe", "gets an interface in a VM's place and checks what came", probe_command},
    {"attach", "plugs interfaces into a running VM", attach_command},
    {"detach", "takes them out again", detach_command},
    {"link", "shows and changes an interface by netdevice(7)", link_command},
    {"status", "shows whose interfaces are here, who holds them, and their traffic", status_command},
    {"top", "shows them again and again, the busiest first", top_command},
    {"explain", "says which rule allows or refuses a request, and why", explain_command},
    {"libvirt-xml", "prints the element of a libvirt domain for a request", libvirt_xml_command},
    {"release", "gives back an interface that was to outlive its holders", release_command},
    {"up", "brings up an interface that was granted with up=off", up_command},
    {"doctor", "finds what is wrong on this host, and the command that mends it", doctor_command},
    {"monitor", "follows what becomes of interfaces, and tells a guest", monitor_command},
};

void print_help() {
  printf(
      "Usage: tapferry COMMAND [OPTION]...\n"
      "\n"
      "Network interfaces for virtual machines that run without privilege.\n"
      "\n"
      "Commands:\n");
  for (const Command& command : kCommands) printf("  %-12s%s\n", command.name, command.summary);
  printf(
      "  %-12s%s\n"
      "\n"
      "Options:\n"
      "  -h, --help     print this\n"
      "  --version      print the version\n"
      "\n"
      "tapferry COMMAND --help says more about each, tapferry(1) all.\n",
      "help", "prints this, or a command's help");
}

int run(const Command& command, int argc, char** argv) {
  std::string name = std::string(kProgram) + " " + command.name;
  std::vector<char*> own(argv + 1, argv + argc);
  own[0] = name.data();
  own.push_back(nullptr);
  return command.run(argc - 1, own.data());
}

int help(const char* name) {
  for (const Command& command : kCommands) {
    if (strcmp(command.name, name) != 0) continue;
    char program[] = "tapferry";
    char option[] = "--help";
    std::string word = name;
    char* argv[] = {program, word.data(), option, nullptr};
    return run(command, 3, argv);
  }
  log_error(kProgram, Error("help", name, "there is no such command").with_hint("tapferry --help lists them"));
  return kExitUsage;
}

// A descriptor of ours under the number of a closed stdio would be written to as if it were that.
void open_stdio() {
  int fd;
  do {
    fd = open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) close(fd);
}

int dispatch(int argc, char** argv) {
  if (argc < 2) {
    log_error(kProgram, Error("start", "", "no command is named").with_hint("tapferry --help lists them"));
    return kExitUsage;
  }
  const std::string_view name = argv[1];
  if (name == "--version") {
    printf("tapferry %s\n", TAPFERRY_VERSION);
    return kExitDone;
  }
  if (name == "--help" || name == "-h" || (name == "help" && argc == 2)) {
    print_help();
    return kExitDone;
  }
  if (name == "help") return help(argv[2]);
  for (const Command& command : kCommands) {
    if (name == command.name) return run(command, argc, argv);
  }
  log_error(kProgram, Error("start", name, "there is no such command").with_hint("tapferry --help lists them"));
  return kExitUsage;
}

}  // namespace
}  // namespace tapferry

int main(int argc, char** argv) {
  tapferry::open_stdio();
  const int status = tapferry::dispatch(argc, argv);
  // A full disk or a closed pipe must not look like success.
  if (fflush(stdout) != 0 && status == tapferry::kExitDone) {
    return tapferry::fail(tapferry::Error::from_errno("write", "stdout", errno));
  }
  return status;
}
