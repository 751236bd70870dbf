// SPDX-License-Identifier: MIT
#include "helper/request.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <getopt.h>

#include "base/parse.h"

namespace tapferry {
namespace {

constexpr const char* kUsageLine =
    "tapferry-helper [--use-vnet] --br=BRIDGE --fd=FD, or tapferry-helper --net=SPEC --fd=FD, or tapferry-helper "
    "--release=IFNAME or --up=IFNAME";

enum Option : int {
  kUseVnet,
  kBridge,
  kNet,
  kFd,
  kRelease,
  kUp,
  kPolicy,
  kExplain,
  kRules,
  kVersion,
  kHelp,
  kOptionCount
};

constexpr option kOptions[] = {
    {"use-vnet", no_argument, nullptr, kUseVnet},  // QEMU's and libvirt's, as the next and --fd are
    {"br", required_argument, nullptr, kBridge},
    {"net", required_argument, nullptr, kNet},
    {"fd", required_argument, nullptr, kFd},
    {"release", required_argument, nullptr, kRelease},
    {"up", required_argument, nullptr, kUp},
    {"policy", required_argument, nullptr, kPolicy},
    {"explain", no_argument, nullptr, kExplain},
    {"rules", no_argument, nullptr, kRules},
    {"version", no_argument, nullptr, kVersion},
    {"help", no_argument, nullptr, kHelp},
    {nullptr, 0, nullptr, 0},
};

// "Usage" comes first: the word that QEMU's helper answers with, and that people search for.
Error usage_error(std::string_view reason) { return Error("Usage", "", kUsageLine).with_detail(reason); }

// The arguments as given: each option at most once.
struct Arguments {
  bool is_given[kOptionCount] = {};
  const char* values[kOptionCount] = {};

  bool has(Option option) const { return is_given[option]; }
};

Result<Arguments> read_arguments(int argc, char* argv[]) {
  Arguments arguments;
  opterr = 0;
  optind = 0;  // glibc: start anew, whatever was parsed before in this process
  for (;;) {
    const int found = getopt_long(argc, argv, "", kOptions, nullptr);
    if (found == -1) break;
    if (found < 0 || found >= kOptionCount) return usage_error("an option is unknown, or lacks its value");
    if (arguments.is_given[found]) return usage_error(std::string("--") + kOptions[found].name + " is there twice");
    arguments.is_given[found] = true;
    arguments.values[found] = optarg;
  }
  if (optind < argc) return usage_error(std::string("`") + argv[optind] + "' is no option");
  return arguments;
}

Result<Spec> spec_of_bridge(std::string_view bridge) {
  // QEMU's helper's words, for the name that would overrun its buffer (CVE-2019-13164) as for any name that no interface has.
  if (bridge.size() > 15) {
    return Error("name", "`" + std::string(bridge) + "' too long", std::to_string(bridge.size()))
        .with_hint("an interface's name has at most 15 bytes");
  }
  if (!is_interface_name(bridge)) {
    return Error("name", "`" + std::string(bridge) + "'", "no interface can have it")
        .with_hint("give the name of a bridge");
  }
  if (!can_stand_in_rule(bridge)) {
    return Error("name", "`" + std::string(bridge) + "'", "no rule can have a name with , or =");
  }
  Spec spec;
  spec.kind = Kind::kBridge;
  spec.object = bridge;
  spec.vnet_hdr = false;
  return spec;
}

Result<int> parse_fd(const char* text) {
  const auto number = parse_uint(text, 0, INT_MAX);
  if (!number) return Error("read", "--fd=" + std::string(text), "not the number of a descriptor");
  return static_cast<int>(*number);
}

// With --release and --up nothing else is asked, and no policy: it is about what is the caller's own.
Result<Request> read_ifname(const Arguments& arguments, Option action) {
  const std::string name = action == kRelease ? "release" : "up";
  for (const Option other : {kUseVnet, kBridge, kNet, kFd, kRelease, kUp, kPolicy, kExplain, kRules}) {
    if (other != action && arguments.has(other)) return usage_error("--" + name + " goes with no other option");
  }
  Request request;
  request.action = action == kRelease ? Action::kRelease : Action::kBringUp;
  request.ifname = arguments.values[action];
  request.spec_text = name + "=" + request.ifname.substr(0, kMaxSpecLength);
  return request;
}

// What is asked for, of whichever form.
Status read_spec(const Arguments& arguments, Request* request) {
  if (arguments.has(kBridge) == arguments.has(kNet)) return usage_error("give one of --br and --net");
  if (arguments.has(kNet)) {
    if (arguments.has(kUseVnet)) return usage_error("--use-vnet goes with --br; a SPEC says vnet_hdr=on");
    request->spec = TRY(parse_spec(arguments.values[kNet]));
    request->spec_text = arguments.values[kNet];
    return {};
  }
  request->is_br_form = true;
  request->spec = TRY(spec_of_bridge(arguments.values[kBridge]));
  if (arguments.has(kUseVnet)) {
    request->spec.vnet_hdr = true;
    request->spec.vnet_hdr_sz = 10;
  }
  request->spec_text = to_string(request->spec);
  return {};
}

}  // namespace

bool may_need_maker(int argc, char* const argv[]) {
  return std::any_of(argv + 1, argv + argc, [](const char* argument) {
    return strncmp(argument, "--n", 3) == 0 || strncmp(argument, "--re", 4) == 0;
  });
}

unsigned most_queues_asked(int argc, char* const argv[]) {
  constexpr char kKey[] = "queues=";
  unsigned most = 1;
  for (int i = 1; i < argc; ++i) {
    for (const char* at = strstr(argv[i], kKey); at != nullptr; at = strstr(at + 1, kKey)) {
      unsigned number = 0;
      const char* digit = at + strlen(kKey);
      for (int n = 0; n < 2 && *digit >= '0' && *digit <= '9'; ++n, ++digit) {
        number = number * 10 + static_cast<unsigned>(*digit - '0');
      }
      most = std::max(most, std::min(number, kMaxQueues));
    }
  }
  return most;
}

bool is_vhost_asked(int argc, char* const argv[]) {
  for (int i = 1; i < argc; ++i) {
    if (strstr(argv[i], "vhost=on") != nullptr || strstr(argv[i], "vhost=auto") != nullptr) return true;
  }
  return false;
}

bool may_ask_for_ovs(int argc, char* const argv[]) {
  return std::any_of(argv + 1, argv + argc, [](const char* argument) { return strstr(argument, "=ovs:") != nullptr; });
}

Result<Request> parse_request(int argc, char* argv[]) {
  const Arguments arguments = TRY(read_arguments(argc, argv));
  Request request;
  if (arguments.has(kHelp) || arguments.has(kVersion)) {
    request.action = arguments.has(kHelp) ? Action::kHelp : Action::kVersion;
    return request;
  }
  for (const Option action : {kRelease, kUp}) {
    if (arguments.has(action)) return read_ifname(arguments, action);
  }
  if (arguments.has(kPolicy)) request.policy_path = arguments.values[kPolicy];
  if (arguments.has(kRules)) {
    request.action = Action::kRules;
    const bool has_more =
        arguments.has(kBridge) || arguments.has(kNet) || arguments.has(kFd) || arguments.has(kExplain);
    if (has_more) return usage_error("--rules is about no request; leave out --br, --net, --fd and --explain");
    return request;
  }
  TRY(read_spec(arguments, &request));
  if (arguments.has(kExplain)) {
    request.action = Action::kExplain;
    if (arguments.has(kFd)) return usage_error("--explain hands nothing over; leave out --fd");
    return request;
  }
  if (!arguments.has(kFd)) return usage_error("--fd is missing");
  request.fd = TRY(parse_fd(arguments.values[kFd]));
  return request;
}

std::string usage() {
  return std::string("Usage: ") + kUsageLine +
         "\n"
         "\n"
         "Hands a network interface to the program at the other end of the socket FD. People don't start it by hand: "
         "`qemu -netdev\n"
         "bridge,helper=', libvirt and `tapferry run' do.\n"
         "\n"
         "  --br=BRIDGE         a tap on BRIDGE, as QEMU asks for it: one zero byte and one descriptor are sent\n"
         "  --use-vnet          with --br: frames have a vnet header of 10 bytes\n"
         "  --net=SPEC          what SPEC says, for example bridge=br0,queues=2: a JSON line and its descriptors are "
         "sent\n"
         "  --fd=FD             a connected AF_UNIX stream or seqpacket socket\n"
         "  --release=IFNAME    deletes an interface of yours that was made with persist=on\n"
         "  --up=IFNAME         brings up an interface of yours that was made with up=off\n"
         "  --explain           instead: print as JSON which rule of the policy decides the request, and why\n"
         "  --rules             instead: print as JSON the policy's rules, and which are about you\n"
         "  --policy=PATH       read this policy instead of the installed one; only when started without extra "
         "privilege\n"
         "  --version           print the version\n"
         "  --help              print this\n"
         "\n"
         "See tapferry-helper(8), tapferry-policy(5) and tapferry(1).\n";
}

}  // namespace tapferry
