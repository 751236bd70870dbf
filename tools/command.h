// SPDX-License-Identifier: MIT
//
// The commands of `tapferry`. Each takes its own argv (argv[0] is "tapferry NAME") and returns the exit status.
#pragma once

#include "base/result.h"

namespace tapferry {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

inline constexpr const char* kProgram = "tapferry";

int run_command(int argc, char** argv);
int probe_command(int argc, char** argv);
int attach_command(int argc, char** argv);
int detach_command(int argc, char** argv);
int link_command(int argc, char** argv);
int explain_command(int argc, char** argv);
int libvirt_xml_command(int argc, char** argv);
int release_command(int argc, char** argv);
int up_command(int argc, char** argv);
int doctor_command(int argc, char** argv);
int monitor_command(int argc, char** argv);
int status_command(int argc, char** argv);
int top_command(int argc, char** argv);

// Prints the error's line; for the return statement of a command.
int fail(const Error& error);
// The same with the way to the command's help; `command` is "run", ...
int fail_usage(const char* command, const Error& error);

}  // namespace tapferry
