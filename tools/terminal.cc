// SPDX-License-Identifier: MIT
#include "tools/terminal.h"

#include <csignal>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/syscall.h"

namespace tapferry {
namespace {

constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l";  // alternate screen, no cursor
constexpr std::string_view kLeave = "\x1b[?25h\x1b[?1049l";
// Between the two a terminal shows what it showed before, so that nobody sees half a screen; one that doesn't know them
// ignores them.
constexpr std::string_view kBegin = "\x1b[?2026h\x1b[H";
constexpr std::string_view kEnd = "\x1b[?2026l";
constexpr std::string_view kClearRight = "\x1b[K";
constexpr std::string_view kReverse = "\x1b[7m";
constexpr std::string_view kPlain = "\x1b[m";

}  // namespace

Terminal::Terminal() {
  has_keys_ = tcgetattr(STDIN_FILENO, &before_) == 0;
  enter();
}

void Terminal::enter() {
  if (has_keys_) {
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  }
  (void)write_all(STDOUT_FILENO, kEnter, "the terminal").is_ok();
  is_entered_ = true;
}

void Terminal::leave() {
  if (!is_entered_) return;
  (void)write_all(STDOUT_FILENO, kLeave, "the terminal").is_ok();
  if (has_keys_) tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
  is_entered_ = false;
}

ScreenSize Terminal::size() const {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {size.ws_col, size.ws_row};
}

Status Terminal::draw(const std::vector<std::string>& lines) {
  std::string screen(kBegin);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) screen += "\r\n";
    // Before the text: behind a line as wide as the screen it would clear that line's last letter.
    screen += kClearRight;
    if (i == 1) screen += kReverse;
    screen += lines[i];
    if (i == 1) screen += kPlain;
  }
  screen += kEnd;
  return write_all(STDOUT_FILENO, screen, "the terminal");
}

void Terminal::suspend() {
  leave();
  kill(getpid(), SIGSTOP);
  enter();
}

}  // namespace tapferry
