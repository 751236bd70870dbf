// SPDX-License-Identifier: MIT
//
// `tapferry probe`: stands in for the VM. It takes a hand-over from any helper, says what came and whether it is right,
// and can then be a tiny guest.

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "net/ask.h"
#include "net/ask_broker.h"
#include "net/grant_reader.h"
#include "net/pcap.h"
#include "tools/checks.h"
#include "tools/command.h"
#include "tools/echo.h"
#include "tools/frame_loop.h"
#include "tools/guest_mac.h"
#include "tools/inspect.h"
#include "tools/json.h"
#include "tools/listen.h"
#include "tools/options.h"
#include "tools/report.h"
#include "tools/stop_signals.h"

namespace tapferry {
namespace {

struct ProbeOptions {
  std::string helper;
  Via via = Via::kAuto;
  Asked asked;
  std::string request;  // the SPEC, the bridge or the path
  std::vector<IpAddress> echo;
  std::optional<std::string> pcap;
  bool has_force = false;
  bool has_json = false;
  unsigned count = 0;
  unsigned duration_s = 0;
};

constexpr CommandHelp kHelp = {
    "",
    "Receives an interface as a virtual machine monitor does and compares it with what was\n"
    "asked. Ends with status 1 if anything is wrong.",
    "--net and --br run a helper, with --br as QEMU does; --listen takes what somebody else\n"
    "sends. --echo answers ARP, ICMP and ICMPv6 for the address with a MAC address of its own,\n"
    "until SIGINT, --count or --duration.\n"
    "\n"
    "  tapferry probe --net=bridge=br0,queues=2\n"
    "  tapferry probe --br=br0 --helper=/usr/lib/qemu/qemu-bridge-helper\n"
    "  tapferry probe --net=bridge=br0 --echo=192.0.2.9 --pcap=guest.pcap\n"};

// The options as text and numbers, before their values are understood.
struct RawOptions {
  char* net = nullptr;
  char* br = nullptr;
  char* listen = nullptr;
  char* helper = nullptr;
  char* via = nullptr;
  char* pcap = nullptr;
  char** echo = nullptr;
  gboolean json = FALSE;
  gboolean force = FALSE;
  int count = 0;
  int duration = 0;

  ~RawOptions() {
    for (char* text : {net, br, listen, helper, via, pcap}) g_free(text);
    g_strfreev(echo);
  }
};

Status parse_raw(int argc, char** argv, RawOptions* raw) {
  const GOptionEntry entries[] = {
      {"net", 'n', 0, G_OPTION_ARG_FILENAME, &raw->net, "ask tapferry-helper for SPEC", "SPEC"},
      {"br", 'b', 0, G_OPTION_ARG_FILENAME, &raw->br, "ask a helper for a port of BRIDGE as QEMU does", "BRIDGE"},
      {"listen", 'l', 0, G_OPTION_ARG_FILENAME, &raw->listen, "receive from whoever connects to PATH", "PATH"},
      {"helper", 0, 0, G_OPTION_ARG_FILENAME, &raw->helper, "the program to ask (default: tapferry-helper)", "PATH"},
      {"via", 0, 0, G_OPTION_ARG_STRING, &raw->via, "whom to ask (default: auto)", "helper|broker|auto"},
      {"json", 'j', 0, G_OPTION_ARG_NONE, &raw->json, "print one JSON object a line", nullptr},
      {"echo", 'e', 0, G_OPTION_ARG_FILENAME_ARRAY, &raw->echo, "answer pings to IP (may be repeated)", "IP"},
      {"pcap", 'w', 0, G_OPTION_ARG_FILENAME, &raw->pcap, "write all frames to FILE", "FILE"},
      {"force", 'f', 0, G_OPTION_ARG_NONE, &raw->force, "overwrite that file", nullptr},
      {"count", 'c', 0, G_OPTION_ARG_INT, &raw->count, "end after N pings (without --echo: frames)", "N"},
      {"duration", 'd', 0, G_OPTION_ARG_INT, &raw->duration, "end after so long", "SECONDS"},
      {}};
  return parse_options(kHelp, entries, argc, argv);
}

Result<Asked> read_asked(const RawOptions& raw) {
  Asked asked;
  asked.uid = getuid();
  if ((raw.net != nullptr) + (raw.br != nullptr) + (raw.listen != nullptr) != 1) {
    return Error("read", "the command line", "give one of --net, --br and --listen");
  }
  if (raw.net != nullptr) {
    asked.spec = TRY(parse_spec(raw.net));
  } else {
    asked.form = raw.br != nullptr ? Asked::Form::kBridge : Asked::Form::kListen;
    asked.spec.object = raw.br != nullptr ? raw.br : "";
  }
  return asked;
}

Result<ProbeOptions> read_options(int argc, char** argv) {
  RawOptions raw;
  TRY(parse_raw(argc, argv, &raw));
  ProbeOptions options;
  options.asked = TRY(read_asked(raw));
  options.request = raw.net != nullptr ? raw.net : raw.br != nullptr ? raw.br : raw.listen;
  options.helper = helper_path(raw.helper);
  options.via = TRY(via_of(raw.via, raw.helper));
  if (options.via == Via::kBroker && raw.net == nullptr) {
    return Error("read", "the command line", "--via=broker goes with --net");
  }
  options.pcap = string_of(raw.pcap);
  options.has_json = raw.json != FALSE;
  options.has_force = raw.force != FALSE;
  for (const std::string& text : strings_of(raw.echo)) {
    const auto address = parse_ip(text);
    if (!address || address->is_multicast() || address->is_unspecified()) {
      return Error("read", "--echo=" + text, "not an address that a guest can have");
    }
    options.echo.push_back(*address);
  }
  if (raw.count < 0 || raw.duration < 0) return Error("read", "the command line", "a number is negative");
  options.count = static_cast<unsigned>(raw.count);
  options.duration_s = static_cast<unsigned>(raw.duration);
  const bool exchanges = !options.echo.empty() || options.pcap;
  if (!exchanges && (options.count != 0 || options.duration_s != 0)) {
    return Error("read", "the command line", "--count and --duration go with --echo or --pcap");
  }
  if (options.has_force && !options.pcap) return Error("read", "the command line", "--force goes with --pcap");
  return options;
}

Result<Answer> receive(const ProbeOptions& options) {
  switch (options.asked.form) {
    case Asked::Form::kNet: return ask_via(options.via, options.helper, options.request);
    case Asked::Form::kBridge: return ask_helper(ask_by_br(options.helper, options.request));
    case Asked::Form::kListen: return receive_at(options.request);
  }
  return Error("receive", options.request, "unknown form");
}

Facts inspect(const ProbeOptions& options, const Answer& answer) {
  Facts facts;
  if (options.asked.form != Asked::Form::kListen) facts.wait_status = answer.wait_status;
  facts.bytes = answer.bytes.size();
  facts.text = answer.bytes;
  facts.trailing_bytes = answer.trailing_bytes;
  facts.trailing_fds = answer.trailing_fds;
  facts.is_truncated = answer.is_truncated;
  auto record = read_grant(answer.bytes);
  if (record.is_ok()) {
    facts.record = std::move(record).value();
  } else {
    facts.record_error = record.error().reason();
  }
  for (const Fd& fd : answer.fds) facts.fds.push_back(inspect_fd(fd.get()));
  auto interface = inspect_interface(facts.fds);
  if (interface.is_ok()) {
    facts.interface = std::move(interface).value();
  } else {
    facts.interface_error = interface.error().line();
  }
  return facts;
}

void print_tally(const ProbeOptions& options, const FrameTally& tally) {
  if (options.has_json) {
    JsonWriter json;
    json.number("version", 1);
    json.number("frames_in", static_cast<int64_t>(tally.frames_in));
    json.number("frames_out", static_cast<int64_t>(tally.frames_out));
    json.number("echo", static_cast<int64_t>(tally.echo));
    json.number("arp", static_cast<int64_t>(tally.arp));
    json.number("neighbour", static_cast<int64_t>(tally.neighbour));
    json.number("errors", static_cast<int64_t>(tally.errors));
    fputs(json.take_line().c_str(), stdout);
    return;
  }
  printf("%" G_GUINT64_FORMAT " frames in, %" G_GUINT64_FORMAT " out; answered: %" G_GUINT64_FORMAT
         " echo, %" G_GUINT64_FORMAT " ARP, %" G_GUINT64_FORMAT " neighbour; errors: %" G_GUINT64_FORMAT "\n",
         tally.frames_in, tally.frames_out, tally.echo, tally.arp, tally.neighbour, tally.errors);
}

// The taps among what came, as a guest would use them.
Result<FrameLoopOptions> loop_options(const ProbeOptions& options, const Answer& answer, const Facts& facts) {
  FrameLoopOptions loop;
  loop.count = options.count;
  loop.duration_s = options.duration_s;
  for (size_t i = 0; i < facts.fds.size(); ++i) {
    if (facts.fds[i].is_tap) loop.queues.push_back(answer.fds[i].get());
  }
  const auto tap = std::find_if(facts.fds.begin(), facts.fds.end(), [](const FdFacts& fd) { return fd.is_tap; });
  if (tap == facts.fds.end()) return Error("exchange", "frames", "no descriptor that came is a tap's");
  loop.vnet_hdr_sz = tap->queue.vnet_hdr_sz;
  return loop;
}

Result<EchoGuest> make_guest(const ProbeOptions& options, const Facts& facts) {
  EchoConfig config;
  const bool is_macvtap = facts.interface && facts.interface->link.kind == "macvtap";
  const std::optional<Mac> own = is_macvtap ? std::optional(facts.interface->link.mac) : std::nullopt;
  config.mac = TRY(guest_mac(options.asked.spec, own));
  config.addresses = options.echo;
  if (facts.interface) config.mtu = facts.interface->link.mtu;
  return EchoGuest(std::move(config));
}

Status exchange(const ProbeOptions& options, const Answer& answer, const Facts& facts, PcapWriter* pcap, int stop_fd) {
  FrameLoopOptions loop = TRY(loop_options(options, answer, facts));
  std::optional<EchoGuest> guest;
  if (!options.echo.empty()) guest = TRY(make_guest(options, facts));
  loop.guest = guest ? &*guest : nullptr;
  loop.pcap = pcap;
  loop.stop_fd = stop_fd;
  const FrameTally tally = TRY(exchange_frames(loop));
  print_tally(options, tally);
  if (tally.errors == 0) return {};
  return Error("exchange", "frames", std::to_string(tally.errors) + " errors");
}

Result<PcapWriter> create_capture(const std::string& path, bool overwrite) {
  auto writer = PcapWriter::create(path, overwrite);
  if (writer.is_ok() || writer.error().code() != EEXIST) return writer;
  return std::move(writer).error().with_hint("--force overwrites it");
}

Result<int> probe(const ProbeOptions& options) {
  const Answer answer = TRY(receive(options));
  if (!answer.words.empty()) log_line(kProgram, "the helper says: " + escape(answer.words));
  // Not before: a refusal leaves no empty file.
  std::optional<PcapWriter> pcap;
  if (options.pcap) pcap = TRY(create_capture(*options.pcap, options.has_force));
  const bool exchanges = pcap || !options.echo.empty();
  // Before the report, since who has read it may send the signal at once.
  std::optional<StopSignals> stop;
  if (exchanges) stop.emplace();
  const Facts facts = inspect(options, answer);
  const std::vector<Check> checks = check_facts(options.asked, facts);
  fputs((options.has_json ? report_json(facts, checks) : report_table(checks)).c_str(), stdout);
  // Whoever reads it may wait for it before pinging.
  fflush(stdout);
  if (exchanges) TRY(exchange(options, answer, facts, pcap ? &*pcap : nullptr, stop->fd()));
  return is_all_right(checks) ? kExitDone : kExitFailed;
}

}  // namespace

int probe_command(int argc, char** argv) {
  const auto options = read_options(argc, argv);
  if (!options.is_ok()) return fail_usage("probe", options.error());
  const auto status = probe(options.value());
  return status.is_ok() ? status.value() : fail(status.error());
}

}  // namespace tapferry
