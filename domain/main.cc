// SPDX-License-Identifier: MIT
//
// `tapferry-libvirt`: stands between `tapferry attach` or `detach` and the QEMU of a libvirt domain. A program of its own, so that
// only these two need libvirt, and only with --domain: loading its libraries takes some 20 ms, a whole hand-over less than half of
// that.
//
//   tapferry-libvirt --fd=N --domain=NAME [--connect=URI]
//
// FD is a socket; see domain/monitor_proxy.h. What hinders is said there too, as an error instead of QMP's greeting.

#include <csignal>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd_pass.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/syscall.h"
#include "config.h"
#include "domain/monitor_proxy.h"

namespace tapferry {
namespace {

constexpr const char* kProgram = "tapferry-libvirt";
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

struct Options {
  int fd = -1;
  std::string domain;
  std::string uri;
};

Result<Options> read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    std::string_view word = argv[i];
    if (consume_prefix(&word, "--fd=")) {
      const auto fd = parse_uint(word, 0, 65535);
      if (!fd) return Error("read", argv[i], "not a descriptor's number");
      options.fd = static_cast<int>(*fd);
    } else if (consume_prefix(&word, "--domain=")) {
      options.domain = word;
    } else if (consume_prefix(&word, "--connect=")) {
      options.uri = word;
    } else {
      return Error("read", argv[i], "unknown option").with_hint("tapferry attach --domain=NAME starts this program");
    }
  }
  if (options.fd < 0 || options.domain.empty()) {
    return Error("start", "", "--fd=N and --domain=NAME are needed")
        .with_hint("tapferry attach --domain=NAME starts this program");
  }
  return options;
}

void report(const Error& error, const Fd& socket) {
  g_autoptr(JsonBuilder) builder = json_builder_new();
  json_builder_begin_object(builder);
  json_builder_set_member_name(builder, "error");
  json_builder_begin_object(builder);
  const std::pair<const char*, const std::string&> parts[] = {
      {"action", error.action()}, {"object", error.object()}, {"desc", error.reason()}};
  for (const auto& [name, value] : parts) {
    json_builder_set_member_name(builder, name);
    json_builder_add_string_value(builder, value.c_str());
  }
  json_builder_end_object(builder);
  json_builder_end_object(builder);
  g_autoptr(JsonNode) root = json_builder_get_root(builder);
  g_autofree char* text = json_to_string(root, FALSE);
  (void)write_all(socket.get(), std::string(text) + "\n", "the client").is_ok();
}

// The client tidies up when a signal comes, for which it needs us; we end with it.
void outlive_signals() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) signal(number, SIG_IGN);
}

int run(int argc, char** argv) {
  const auto options = read_options(argc, argv);
  if (!options.is_ok()) {
    log_error(kProgram, options.error());
    return kExitUsage;
  }
  const Status is_socket = check_passing_socket(options.value().fd);
  if (!is_socket.is_ok()) {
    log_error(kProgram, is_socket.error());
    return kExitUsage;
  }
  Fd socket(options.value().fd);
  fcntl(socket.get(), F_SETFD, FD_CLOEXEC);  // libvirt may start a libvirtd
  outlive_signals();
  auto connected = connect_domain(options.value().uri, options.value().domain);
  if (!connected.is_ok()) {
    report(connected.error(), socket);
    return kExitFailed;
  }
  const Status done = MonitorProxy(std::move(connected).value(), std::move(socket)).run();
  if (done.is_ok()) return 0;
  log_error(kProgram, done.error());
  return kExitFailed;
}

}  // namespace
}  // namespace tapferry

int main(int argc, char** argv) { return tapferry::run(argc, argv); }
