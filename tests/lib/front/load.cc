// SPDX-License-Identifier: MIT
#include "tests/lib/front/load.h"

#include <algorithm>
#include <cstdio>
#include <glib.h>
#include <sched.h>

#include "base/log.h"

namespace tapferry::front {
namespace {

constexpr const char* kProgram = "front_end";

struct Texts {
  char* kind = nullptr;
  char* socket = nullptr;
  char* interface = nullptr;
  char* content = nullptr;
  char* header = nullptr;
  char* rate = nullptr;

  Texts() = default;
  Texts(const Texts&) = delete;
  Texts& operator=(const Texts&) = delete;
  ~Texts() {
    for (char* text : {kind, socket, interface, content, header, rate}) g_free(text);
  }
};

Status read_options(int argc, char** argv, LoadOptions* options) {
  Texts texts;
  gboolean packed = FALSE, in_order = FALSE, mergeable = FALSE, offloads = FALSE, sleeps = FALSE, listens = FALSE,
           full = FALSE;
  const GOptionEntry entries[] = {
      {"load", 0, 0, G_OPTION_ARG_STRING, &texts.kind, "tx, rx, echo, ping, inject or bounce", "KIND"},
      {"socket", 0, 0, G_OPTION_ARG_FILENAME, &texts.socket, "the backend's socket", "PATH"},
      {"listen", 0, 0, G_OPTION_ARG_NONE, &listens, "the backend connects", nullptr},
      {"interface", 0, 0, G_OPTION_ARG_STRING, &texts.interface, "of inject and bounce", "NAME"},
      {"frame-bytes", 0, 0, G_OPTION_ARG_INT, &options->frame_bytes, "of a frame", "N"},
      {"content", 0, 0, G_OPTION_ARG_STRING, &texts.content, "raw, udp or tcp", "WHAT"},
      {"flows", 0, 0, G_OPTION_ARG_INT, &options->flows, "number of flows", "N"},
      {"full-checksums", 0, 0, G_OPTION_ARG_NONE, &full, "not left to the receiver", nullptr},
      {"gso", 0, 0, G_OPTION_ARG_INT, &options->gso_size, "bytes of a segment of a large frame (tcp)", "BYTES"},
      {"burst", 0, 0, G_OPTION_ARG_INT, &options->burst, "frames that are shown at once", "N"},
      {"rate", 0, 0, G_OPTION_ARG_STRING, &texts.rate, "frames a second, or max", "PPS"},
      {"seconds", 0, 0, G_OPTION_ARG_DOUBLE, &options->seconds, "how long", "S"},
      {"packed", 0, 0, G_OPTION_ARG_NONE, &packed, "packed rings", nullptr},
      {"in-order", 0, 0, G_OPTION_ARG_NONE, &in_order, "IN_ORDER", nullptr},
      {"mergeable", 0, 0, G_OPTION_ARG_NONE, &mergeable, "MRG_RXBUF", nullptr},
      {"offloads", 0, 0, G_OPTION_ARG_NONE, &offloads, "the guest takes large frames and partial checksums", nullptr},
      {"header", 0, 0, G_OPTION_ARG_STRING, &texts.header, "same or own descriptor", "WHERE"},
      {"sleep", 0, 0, G_OPTION_ARG_NONE, &sleeps, "wait for the backend's signal", nullptr},
      {"ring-size", 0, 0, G_OPTION_ARG_INT, &options->ring_size, "places of a ring", "N"},
      {"slots", 0, 0, G_OPTION_ARG_INT, &options->slots, "buffers that are cycled", "N"},
      {"slot-bytes", 0, 0, G_OPTION_ARG_INT, &options->slot_bytes, "from one buffer to the next", "N"},
      {"cpu", 0, 0, G_OPTION_ARG_INT, &options->cpu, "stay on this processor", "N"},
      {nullptr, 0, 0, G_OPTION_ARG_NONE, nullptr, nullptr, nullptr},
  };
  g_autoptr(GOptionContext) context = g_option_context_new("- a guest without a VM, as a load");
  g_option_context_add_main_entries(context, entries, nullptr);
  g_autoptr(GError) error = nullptr;
  if (!g_option_context_parse(context, &argc, &argv, &error)) return Error("read", "the options", error->message);
  if (argc > 1) return Error("read", argv[1], "too many arguments");
  if (texts.kind == nullptr) return Error("read", "the options", "--load is missing");
  options->kind = texts.kind;
  if (texts.socket != nullptr) options->socket = texts.socket;
  if (texts.interface != nullptr) options->interface = texts.interface;
  if (texts.content != nullptr) options->content = texts.content;
  if (texts.rate != nullptr && std::string_view(texts.rate) != "max")
    options->rate = g_ascii_strtod(texts.rate, nullptr);
  options->has_own_header = texts.header != nullptr && std::string_view(texts.header) == "own";
  options->is_packed = packed;
  options->is_in_order = in_order;
  options->is_mergeable = mergeable;
  options->has_offloads = offloads;
  options->sleeps = sleeps;
  options->listens = listens;
  options->has_full_checksums = full;
  return {};
}

Status stay_on(int cpu) {
  if (cpu < 0) return {};
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0)
    return Error::from_errno("stay on", "processor " + std::to_string(cpu), errno);
  return {};
}

void tell(const LoadOptions& options, LoadResult* result) {
  JsonWriter line;
  line.text("load", options.kind);
  line.number("frames", static_cast<int64_t>(result->frames));
  line.number("bytes", static_cast<int64_t>(result->bytes));
  line.number("microseconds", static_cast<int64_t>(result->seconds * 1e6));
  line.number("cpu_microseconds", static_cast<int64_t>(result->cpu_seconds * 1e6));
  line.number("frames_per_second", static_cast<int64_t>(static_cast<double>(result->frames) / result->seconds));
  line.number("bursts", static_cast<int64_t>(result->bursts));
  line.number("kicks", static_cast<int64_t>(result->kicks));
  line.number("calls", static_cast<int64_t>(result->calls));
  std::vector<uint32_t>& times = result->round_trips_ns;
  std::sort(times.begin(), times.end());
  for (const auto& [key, share] : {std::pair{"p50_ns", 0.5}, std::pair{"p90_ns", 0.9}, std::pair{"p99_ns", 0.99}}) {
    const auto place = static_cast<size_t>(share * static_cast<double>(times.size()));
    if (!times.empty()) line.number(key, times[place]);
  }
  const std::string text = line.take_line();
  fwrite(text.data(), 1, text.size(), stdout);
}

Status run(int argc, char** argv) {
  LoadOptions options;
  TRY(read_options(argc, argv, &options));
  TRY(stay_on(options.cpu));
  LoadResult result;
  const bool is_host = options.kind == "inject" || options.kind == "bounce";
  TRY(is_host ? load_host(options, &result) : load_guest(options, &result));
  tell(options, &result);
  return {};
}

}  // namespace

int run_load(int argc, char** argv) {
  const Status done = run(argc, argv);
  if (!done.is_ok()) log_error(kProgram, done.error());
  return done.is_ok() ? 0 : 1;
}

}  // namespace tapferry::front
