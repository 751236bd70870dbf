// SPDX-License-Identifier: MIT
//
// `tapferry status`: whose interfaces are here, who holds them, and what crosses them.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <sys/ioctl.h>
#include <thread>
#include <unistd.h>

#include "base/parse.h"
#include "tools/command.h"
#include "tools/options.h"
#include "tools/status.h"

namespace tapferry {
namespace {

constexpr unsigned kDefaultIntervalMs = 500;

enum class Form { kTable, kParagraphs, kJson, kPrometheus };

struct StatusOptions {
  StatusSelection selection;
  unsigned interval_ms = kDefaultIntervalMs;
  Form form = Form::kTable;
};

constexpr CommandHelp kHelp = {
    "[IFNAME...]",
    "Lists the interfaces of this network namespace that tapferry made: whose each is, who holds\n"
    "it, what holds for it, and what crosses it, as the guest sees it: received is what the guest\n"
    "received. Rates are of half a second, or what --interval says.",
    "  tapferry status\n"
    "  sudo tapferry status --long tap3568861\n"
    "  tapferry status --json --interval=0 | jq '.interfaces[].holders'\n",
    true};

Result<Form> form_of(bool is_long, bool is_json, bool is_prometheus) {
  if (is_long + is_json + is_prometheus > 1) {
    return Error("read", "the command line", "--long, --json and --prometheus exclude each other");
  }
  if (is_long) return Form::kParagraphs;
  if (is_json) return Form::kJson;
  return is_prometheus ? Form::kPrometheus : Form::kTable;
}

Result<StatusOptions> read_options(int argc, char** argv) {
  g_auto(GStrv) names = nullptr;
  g_autofree char* interval = nullptr;
  gboolean is_all = FALSE;
  gboolean is_long = FALSE;
  gboolean is_json = FALSE;
  gboolean is_prometheus = FALSE;
  const GOptionEntry entries[] = {
      {"all", 'a', 0, G_OPTION_ARG_NONE, &is_all, "also taps and macvtaps that tapferry didn't make", nullptr},
      {"long", 'l', 0, G_OPTION_ARG_NONE, &is_long, "print a paragraph for each, with all that is known", nullptr},
      {"interval", 'i', 0, G_OPTION_ARG_STRING, &interval, "measure rates for so long; 0: no rates (default: 0.5)",
       "SECONDS"},
      {"json", 'j', 0, G_OPTION_ARG_NONE, &is_json, "print one JSON object", nullptr},
      {"prometheus", 'p', 0, G_OPTION_ARG_NONE, &is_prometheus, "print metrics for Prometheus, without rates", nullptr},
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &names, nullptr, nullptr},
      {}};
  TRY(parse_options(kHelp, entries, argc, argv));
  StatusOptions options;
  options.selection.names = strings_of(names);
  options.selection.is_all = is_all != FALSE;
  options.form = TRY(form_of(is_long != FALSE, is_json != FALSE, is_prometheus != FALSE));
  if (options.form == Form::kPrometheus) options.interval_ms = 0;
  if (interval == nullptr) return options;
  if (options.form == Form::kPrometheus) {
    return Error("read", "the command line", "--prometheus has counters, no rates, and takes no --interval");
  }
  const auto milliseconds = parse_seconds(interval, 0);
  if (!milliseconds) {
    return Error("read", "--interval=" + std::string(interval), "not a number of seconds from 0 to 3600");
  }
  options.interval_ms = *milliseconds;
  return options;
}

std::string text_of(const StatusSnapshot& snapshot, Form form) {
  switch (form) {
    case Form::kParagraphs: return status_paragraphs(snapshot) + status_notes(snapshot);
    case Form::kJson: return status_json(snapshot);
    case Form::kPrometheus: return status_prometheus(snapshot);
    case Form::kTable: break;
  }
  return status_table(snapshot, terminal_columns()) + status_notes(snapshot);
}

Status print_status(const StatusOptions& options) {
  StatusObserver observer = TRY(StatusObserver::open(options.selection));
  StatusSnapshot snapshot = TRY(observer.look());
  if (options.interval_ms != 0 && !snapshot.interfaces.empty()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(options.interval_ms));
    snapshot = TRY(observer.look());
  }
  fputs(text_of(snapshot, options.form).c_str(), stdout);
  return {};
}

}  // namespace

std::optional<unsigned> parse_seconds(std::string_view text, unsigned low_ms) {
  constexpr unsigned kMaxSeconds = 3600;
  const size_t point = text.find('.');
  const auto whole = parse_uint(text.substr(0, point), 0, kMaxSeconds);
  if (!whole) return std::nullopt;
  uint64_t ms = *whole * 1000;
  if (point != std::string_view::npos) {
    std::string decimals(text.substr(point + 1));
    if (decimals.empty() || decimals.size() > 3) return std::nullopt;
    decimals.resize(3, '0');
    for (unsigned place = 100; const char digit : decimals) {
      if (digit < '0' || digit > '9') return std::nullopt;
      ms += place * static_cast<unsigned>(digit - '0');
      place /= 10;
    }
  }
  if (ms < low_ms || ms > kMaxSeconds * 1000) return std::nullopt;
  return static_cast<unsigned>(ms);
}

size_t terminal_columns() {
  const char* columns = getenv("COLUMNS");
  const auto wanted = parse_uint(columns == nullptr ? "" : columns, 1, 10000);
  if (wanted) return *wanted;
  winsize size = {};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

int status_command(int argc, char** argv) {
  const auto options = read_options(argc, argv);
  if (!options.is_ok()) return fail_usage("status", options.error());
  const Status printed = print_status(options.value());
  return printed.is_ok() ? kExitDone : fail(printed.error());
}

}  // namespace tapferry
