// SPDX-License-Identifier: MIT
//
// tapferry-broker: the half of tapferryd that speaks with clients, and has no privilege. tapferryd starts it, with the listening
// socket as descriptor 3 and the way back to itself as 4 (helper/tapferryd.cc), as a user that owns nothing.
#include <csignal>
#include <cstdio>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "broker/launches.h"
#include "broker/server.h"

namespace tapferry {
namespace {

constexpr const char* kProgram = "tapferry-broker";
constexpr int kListener = 3;
constexpr int kChannel = 4;

bool is_socket(int fd, int type) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length) == 0 && value == type;
}

int run() {
  if (!is_socket(kListener, SOCK_STREAM) || !is_socket(kChannel, SOCK_SEQPACKET)) {
    log_line(kProgram, "start: tapferryd starts this program; see tapferryd(8)");
    return 2;
  }
  // Another program of the same user can't look into it.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  signal(SIGPIPE, SIG_IGN);
  GMainLoop* loop = g_main_loop_new(nullptr, FALSE);
  Launches launches(Fd(kChannel), [loop] { g_main_loop_quit(loop); });
  const Server server(Fd(kListener), &launches);
  g_main_loop_run(loop);
  // tapferryd is gone; who is connected learns it by the end of the connection.
  _exit(0);
}

}  // namespace
}  // namespace tapferry

int main() { return tapferry::run(); }
