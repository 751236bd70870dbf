// SPDX-License-Identifier: MIT
//
// `tapferry top`: the interfaces of `tapferry status' again and again: on a terminal's screen, as tables, or as JSON lines.

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <glib.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/syscall.h"
#include "tools/command.h"
#include "tools/options.h"
#include "tools/status.h"
#include "tools/terminal.h"
#include "tools/top_view.h"

namespace tapferry {
namespace {

constexpr unsigned kDefaultIntervalMs = 2000;
constexpr unsigned kLeastIntervalMs = 100;

struct TopOptions {
  StatusSelection selection;
  unsigned interval_ms = kDefaultIntervalMs;
  uint64_t turns = 0;  // 0: without end
  TopOrder order = TopOrder::kRate;
  bool is_json = false;
};

constexpr CommandHelp kHelp = {
    "[IFNAME...]",
    "Shows the interfaces that tapferry made with what crosses them, every two seconds, the busiest\n"
    "first. Keys: q quits, r f n u sort by rate, frames, name or user, arrows, j k, space and b\n"
    "scroll. Where stdout is no terminal, each turn is a table, or with --json a line.",
    "  tapferry top\n"
    "  tapferry top --sort=user --interval=10\n"
    "  tapferry top --json --turns=60 --interval=1 >traffic.jsonl\n",
    true};

Status read_numbers(const char* interval, const char* turns, TopOptions* options) {
  if (interval != nullptr) {
    const auto milliseconds = parse_seconds(interval, kLeastIntervalMs);
    if (!milliseconds) {
      return Error("read", "--interval=" + std::string(interval), "not a number of seconds from 0.1 to 3600");
    }
    options->interval_ms = *milliseconds;
  }
  if (turns != nullptr) {
    const auto number = parse_uint(turns, 1, UINT32_MAX);
    if (!number) return Error("read", "--turns=" + std::string(turns), "not a number from 1 on");
    options->turns = *number;
  }
  return {};
}

Result<TopOptions> read_options(int argc, char** argv) {
  g_auto(GStrv) names = nullptr;
  g_autofree char* interval = nullptr;
  g_autofree char* turns = nullptr;
  g_autofree char* sort = nullptr;
  gboolean is_all = FALSE;
  gboolean is_json = FALSE;
  const GOptionEntry entries[] = {
      {"interval", 'i', 0, G_OPTION_ARG_STRING, &interval, "from one turn to the next (default: 2)", "SECONDS"},
      {"turns", 'n', 0, G_OPTION_ARG_STRING, &turns, "end after so many turns", "N"},
      {"sort", 's', 0, G_OPTION_ARG_STRING, &sort, "begin with this order (default: rate)", "rate|frames|name|user"},
      {"all", 'a', 0, G_OPTION_ARG_NONE, &is_all, "also taps and macvtaps that tapferry didn't make", nullptr},
      {"json", 'j', 0, G_OPTION_ARG_NONE, &is_json, "print a JSON object each turn, one a line", nullptr},
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &names, nullptr, nullptr},
      {}};
  TRY(parse_options(kHelp, entries, argc, argv));
  TopOptions options;
  options.selection.names = strings_of(names);
  options.selection.is_all = is_all != FALSE;
  options.is_json = is_json != FALSE;
  TRY(read_numbers(interval, turns, &options));
  if (sort != nullptr) {
    const auto order = parse_top_order(sort);
    if (!order) return Error("read", "--sort=" + std::string(sort), "it is none of rate, frames, name, user");
    options.order = *order;
  }
  return options;
}

// What ends it or changes the screen, as a descriptor. SIGTSTP only where there is a screen to give back.
Fd watch_signals(bool has_screen) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int one : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, one);
  if (has_screen) {
    for (const int one : {SIGWINCH, SIGTSTP}) sigaddset(&signals, one);
  }
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return Fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

// It says of itself that it has no control sequences: within an editor, for instance.
bool is_terminal_dumb() {
  const char* name = getenv("TERM");
  return name != nullptr && strcmp(name, "dumb") == 0;
}

class Top {
 public:
  Top(const TopOptions& options, StatusObserver observer)
      : options_(options), observer_(std::move(observer)), view_(options.order) {
    const bool has_screen = !options.is_json && isatty(STDOUT_FILENO) == 1 && !is_terminal_dumb();
    signals_ = watch_signals(has_screen);
    if (has_screen) terminal_.emplace();
  }

  Status run();

 private:
  Status show(StatusSnapshot snapshot);
  Status redraw();
  Status wait_until(int64_t deadline_us);
  Status read_signals();
  Status read_keys();
  Status print(const std::string& text);

  const TopOptions& options_;
  StatusObserver observer_;
  TopView view_;
  Fd signals_;
  std::optional<Terminal> terminal_;
  bool is_over_ = false;
};

// The first look gives the counters that the first turn's rates are taken from; a screen shows it without any.
Status Top::run() {
  StatusSnapshot snapshot = TRY(observer_.look());
  int64_t next_us = snapshot.monotonic_us;
  if (terminal_) TRY(show(std::move(snapshot)));
  for (uint64_t turn = 1; !is_over_; ++turn) {
    next_us += int64_t{options_.interval_ms} * 1000;
    TRY(wait_until(next_us));
    if (is_over_) break;
    snapshot = TRY(observer_.look());
    // After a stop, or on a host that is too slow, no turn is made up for.
    next_us = std::max(next_us, snapshot.monotonic_us - int64_t{options_.interval_ms} * 500);
    TRY(show(std::move(snapshot)));
    if (turn == options_.turns) break;
  }
  return {};
}

Status Top::show(StatusSnapshot snapshot) {
  if (terminal_) {
    view_.show(std::move(snapshot));
    return redraw();
  }
  sort_for_top(&snapshot, options_.order);
  if (options_.is_json) return print(status_json(snapshot));
  return print(status_table(snapshot, terminal_columns()) + status_notes(snapshot) + "\n");
}

Status Top::redraw() { return terminal_->draw(view_.lines(terminal_->size())); }

// In one write, so that a reader never sees half a turn of a program that was ended.
Status Top::print(const std::string& text) {
  const Status written = write_all(STDOUT_FILENO, text, "stdout");
  if (written.is_ok() || written.error().code() != EPIPE) return written;
  is_over_ = true;
  return {};
}

Status Top::wait_until(int64_t deadline_us) {
  while (!is_over_) {
    const int64_t left_us = deadline_us - g_get_monotonic_time();
    if (left_us <= 0) return {};
    // A pipe whose reader has gone says so by POLLERR; a descriptor of -1 is passed over.
    pollfd polled[] = {{signals_.get(), POLLIN, 0},
                       {terminal_ && terminal_->has_keys() ? STDIN_FILENO : -1, POLLIN, 0},
                       {terminal_ ? -1 : STDOUT_FILENO, 0, 0}};
    if (poll(polled, 3, static_cast<int>(left_us / 1000 + 1)) < 0 && errno != EINTR) {
      return Error::from_errno("wait for", "the next turn", errno);
    }
    if (polled[0].revents != 0) TRY(read_signals());
    if (polled[1].revents != 0) TRY(read_keys());
    if ((polled[2].revents & POLLERR) != 0) is_over_ = true;
  }
  return {};
}

Status Top::read_signals() {
  signalfd_siginfo info;
  while (read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGTSTP) {
      terminal_->suspend();
    } else if (info.ssi_signo != SIGWINCH) {
      is_over_ = true;
      return {};
    }
    TRY(redraw());
  }
  return {};
}

Status Top::read_keys() {
  char keys[64];
  const ssize_t n = retry_on_eintr([&] { return read(STDIN_FILENO, keys, sizeof keys); });
  // The terminal is gone.
  const auto reaction =
      n <= 0 ? TopView::Reaction::kQuit : view_.press({keys, static_cast<size_t>(n)}, terminal_->size());
  if (reaction == TopView::Reaction::kQuit) is_over_ = true;
  if (reaction == TopView::Reaction::kRedraw) return redraw();
  return {};
}

Status show_top(const TopOptions& options) {
  signal(SIGPIPE, SIG_IGN);
  Top top(options, TRY(StatusObserver::open(options.selection)));
  return top.run();
}

}  // namespace

int top_command(int argc, char** argv) {
  const auto options = read_options(argc, argv);
  if (!options.is_ok()) return fail_usage("top", options.error());
  const Status shown = show_top(options.value());
  return shown.is_ok() ? kExitDone : fail(shown.error());
}

}  // namespace tapferry
