// SPDX-License-Identifier: MIT
#include "vhost/options.h"

#include <algorithm>
#include <array>
#include <climits>
#include <glib.h>

#include "base/parse.h"
#include "net/program_path.h"

namespace tapferry {
namespace {

constexpr const char* kSummary =
    "Moves frames between a guest's virtqueues and a tap or macvtap: a vhost-user back-end\n"
    "for network devices, which stays in the foreground until SIGTERM.";
constexpr const char* kDescription =
    "SPEC is as in tapferry(1), for example bridge=br0,queues=2.\n"
    "\n"
    "  tapferry-vhost --socket-path=/tmp/vm.sock --net=bridge=br0\n"
    "  qemu-system-x86_64 -m 1G -object memory-backend-memfd,id=m,size=1G,share=on \\\n"
    "    -machine q35,memory-backend=m -chardev socket,id=c,path=/tmp/vm.sock,reconnect=1 \\\n"
    "    -netdev vhost-user,id=n,chardev=c -device virtio-net-pci,netdev=n ...\n";

constexpr unsigned kMaxBusyPollUs = 1'000'000;
constexpr unsigned kMaxStatsSeconds = 86'400;

Error wrong(const std::string& what, const std::string& reason) { return Error("read", what, reason); }
Error wrong(const std::string& reason) { return wrong("the command line", reason); }

// What GLib's parser allocates.
class Text {
 public:
  Text() = default;
  ~Text() { g_free(text_); }
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;
  char** out() { return &text_; }
  bool is_given() const { return text_ != nullptr; }
  const char* get() const { return text_; }

 private:
  char* text_ = nullptr;
};

// The options as GLib leaves them; null: not given.
struct Raw {
  gboolean help = FALSE;
  gboolean version = FALSE;
  gboolean capabilities = FALSE;
  gboolean follow_link = FALSE;
  Text socket_path;
  Text fd;
  Text net;
  Text helper;
  Text queues;
  Text tap_fd;
  Text engine;
  Text coalesce;
  Text busy_poll;
  Text stats;
  Text stats_format;
  Text pcap;
  Text state_fd;
  Text supervisor_fd;
};

// GLib's help, but in plain ASCII: its ellipsis comes out as a question mark in a locale without UTF-8.
std::string help_of(GOptionContext* context) {
  g_autofree char* raw = g_option_context_get_help(context, TRUE, nullptr);
  std::string text = raw;
  for (const auto& [before, after] :
       {std::pair<std::string_view, std::string_view>{"\xe2\x80\xa6", "..."}, {"Application Options:", "Options:"}}) {
    const size_t at = text.find(before);
    if (at != std::string::npos) text.replace(at, before.size(), after);
  }
  return text;
}

Status parse_raw(int argc, char** argv, Raw* raw, std::string* help) {
  const GOptionEntry entries[] = {
      {"socket-path", 0, 0, G_OPTION_ARG_FILENAME, raw->socket_path.out(), "listen here for front-ends", "PATH"},
      {"fd", 0, 0, G_OPTION_ARG_STRING, raw->fd.out(), "or: a socket that was inherited, listening or connected", "N"},
      {"net", 0, 0, G_OPTION_ARG_FILENAME, raw->net.out(), "ask the helper for this interface", "SPEC"},
      {"helper", 0, 0, G_OPTION_ARG_FILENAME, raw->helper.out(), "the program to ask (default: tapferry-helper)",
       "PATH"},
      {"queues", 0, 0, G_OPTION_ARG_STRING, raw->queues.out(), "queue pairs to ask for (default: 1)", "N"},
      {"tap-fd", 0, 0, G_OPTION_ARG_STRING, raw->tap_fd.out(), "or: an interface's queues that were inherited",
       "N[:N...]"},
      {"engine", 0, 0, G_OPTION_ARG_STRING, raw->engine.out(), "how frames are moved (default: auto)",
       "auto|uring|epoll"},
      {"coalesce", 0, 0, G_OPTION_ARG_STRING, raw->coalesce.out(), "merge a guest's small frames (default: on)",
       "on|off"},
      {"busy-poll", 0, 0, G_OPTION_ARG_STRING, raw->busy_poll.out(), "look for so long before sleeping (default: 0)",
       "MICROSECONDS"},
      {"follow-link", 0, 0, G_OPTION_ARG_NONE, &raw->follow_link, "no connection while the interface has no link",
       nullptr},
      {"stats", 0, 0, G_OPTION_ARG_STRING, raw->stats.out(), "print what was done so often", "SECONDS"},
      {"stats-format", 0, 0, G_OPTION_ARG_STRING, raw->stats_format.out(),
       "in lines for people or programs (default: text)", "text|json"},
      {"pcap", 0, 0, G_OPTION_ARG_FILENAME, raw->pcap.out(), "write the frames to FILE", "FILE"},
      {"state-fd", 0, 0, G_OPTION_ARG_STRING, raw->state_fd.out(), "memfd that a successor takes over", "N"},
      {"supervisor-fd", 0, 0, G_OPTION_ARG_STRING, raw->supervisor_fd.out(),
       "a pipe: say ready there, end with its reader", "N"},
      {"print-capabilities", 0, 0, G_OPTION_ARG_NONE, &raw->capabilities, "print what QEMU's conventions ask for",
       nullptr},
      {"version", 0, 0, G_OPTION_ARG_NONE, &raw->version, "print the version", nullptr},
      {"help", 'h', 0, G_OPTION_ARG_NONE, &raw->help, "print this", nullptr},
      {}};
  g_autoptr(GOptionContext) context =
      g_option_context_new("(--socket-path=PATH|--fd=N) (--net=SPEC|--tap-fd=N[:N...])");
  g_option_context_set_summary(context, kSummary);
  g_option_context_set_description(context, kDescription);
  g_option_context_set_help_enabled(context, FALSE);
  g_option_context_add_main_entries(context, entries, nullptr);
  g_set_prgname("tapferry-vhost");
  g_autoptr(GError) error = nullptr;
  if (!g_option_context_parse(context, &argc, &argv, &error)) return wrong(error->message);
  if (argc > 1) return wrong("`" + std::string(argv[1]) + "' is no option");
  if (raw->help != FALSE) *help = help_of(context);
  return {};
}

Status read_number(const char* name, const char* text, unsigned least, unsigned most, unsigned* number) {
  if (text == nullptr) return {};
  const auto parsed = parse_uint(text, least, most);
  if (!parsed) {
    return wrong("--" + std::string(name) + "=" + text,
                 "not a number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  *number = static_cast<unsigned>(*parsed);
  return {};
}

Status read_fd(const char* name, std::string_view text, int* fd) {
  // 0 to 2 are stdio, which the conventions leave alone.
  const auto parsed = parse_uint(text, 3, INT_MAX);
  if (!parsed)
    return wrong("--" + std::string(name) + "=" + std::string(text), "not the number of a descriptor above 2");
  *fd = static_cast<int>(*parsed);
  return {};
}

Status read_tap_fds(const char* text, std::vector<int>* fds) {
  for (const std::string_view one : split(text, ':')) {
    int fd = -1;
    TRY(read_fd("tap-fd", one, &fd));
    fds->push_back(fd);
  }
  if (fds->size() > kMaxQueues) {
    return wrong("--tap-fd", std::to_string(fds->size()) + " queues, more than " + std::to_string(kMaxQueues));
  }
  return {};
}

// One of `words`; its index.
Status read_word(const char* name, const char* text, std::initializer_list<std::string_view> words, size_t* index) {
  if (text == nullptr) return {};
  const auto* found = std::ranges::find(words, std::string_view(text));
  if (found != words.end()) {
    *index = static_cast<size_t>(found - words.begin());
    return {};
  }
  std::string known;
  for (const std::string_view word : words) known += (known.empty() ? "" : ", ") + std::string(word);
  return wrong("--" + std::string(name) + "=" + text, "not one of " + known);
}

Status check_ways(const Raw& raw) {
  if ((raw.socket_path.is_given()) == (raw.fd.is_given())) return wrong("one of --socket-path and --fd is needed");
  if ((raw.net.is_given()) == (raw.tap_fd.is_given())) return wrong("one of --net and --tap-fd is needed");
  if (raw.queues.is_given() && raw.tap_fd.is_given())
    return wrong("--queues goes with --net: --tap-fd names each queue");
  if (raw.stats_format.is_given() && !raw.stats.is_given()) return wrong("--stats-format goes with --stats");
  return {};
}

Result<Spec> read_spec(const Raw& raw) {
  const std::string text = raw.net.get();
  Spec spec = TRY(parse_spec(text));
  unsigned queues = spec.queues;
  TRY(read_number("queues", raw.queues.get(), 1, kMaxQueues, &queues));
  const bool says_queues = text.find(",queues=") != std::string::npos;
  if (says_queues && queues != spec.queues) return wrong("--queues=" + std::to_string(queues), "SPEC says otherwise");
  spec.queues = queues;
  if (!spec.vnet_hdr) return wrong(text, "frames for a guest need vnet_hdr=on");
  if (spec.vhost != VhostNet::kOff) return wrong(text, "vhost= is for VMMs that use vhost-net by themselves");
  return spec;
}

Status read_values(const Raw& raw, VhostOptions* options) {
  if (raw.socket_path.is_given()) options->socket_path = raw.socket_path.get();
  if (raw.fd.is_given()) TRY(read_fd("fd", raw.fd.get(), &options->socket_fd));
  if (raw.net.is_given()) options->net = TRY(read_spec(raw));
  if (raw.tap_fd.is_given()) TRY(read_tap_fds(raw.tap_fd.get(), &options->tap_fds));
  if (raw.state_fd.is_given()) TRY(read_fd("state-fd", raw.state_fd.get(), &options->state_fd));
  if (raw.supervisor_fd.is_given()) TRY(read_fd("supervisor-fd", raw.supervisor_fd.get(), &options->supervisor_fd));
  if (raw.pcap.is_given()) options->pcap = raw.pcap.get();
  options->helper = helper_path(raw.helper.get());
  options->follows_link = raw.follow_link != FALSE;
  TRY(read_number("busy-poll", raw.busy_poll.get(), 0, kMaxBusyPollUs, &options->busy_poll_us));
  TRY(read_number("stats", raw.stats.get(), 1, kMaxStatsSeconds, &options->stats_seconds));
  size_t engine = 0;
  TRY(read_word("engine", raw.engine.get(), {"auto", "uring", "epoll"}, &engine));
  options->engine = std::array{EngineKind::kAuto, EngineKind::kUring, EngineKind::kEpoll}[engine];
  size_t coalesce = 0;
  TRY(read_word("coalesce", raw.coalesce.get(), {"on", "off"}, &coalesce));
  options->has_coalescing = coalesce == 0;
  size_t format = 0;
  TRY(read_word("stats-format", raw.stats_format.get(), {"text", "json"}, &format));
  options->has_json_stats = format == 1;
  return {};
}

}  // namespace

Result<VhostOptions> parse_vhost_options(int argc, char** argv) {
  VhostOptions options;
  // "Other options and arguments should be ignored" (QEMU's back-end program conventions).
  if (std::any_of(argv + std::min(argc, 1), argv + argc,
                  [](const char* word) { return std::string_view(word) == "--print-capabilities"; })) {
    options.print = VhostOptions::Print::kCapabilities;
    return options;
  }
  Raw raw;
  TRY(parse_raw(argc, argv, &raw, &options.help));
  if (raw.help != FALSE || raw.version != FALSE) {
    options.print = raw.help != FALSE ? VhostOptions::Print::kHelp : VhostOptions::Print::kVersion;
    return options;
  }
  TRY(check_ways(raw));
  TRY(read_values(raw, &options));
  return options;
}

}  // namespace tapferry
