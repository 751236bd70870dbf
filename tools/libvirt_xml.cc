// SPDX-License-Identifier: MIT
//
// `tapferry libvirt-xml`: prints the <interface> element that a SPEC comes to (tools/libvirt_element.h), and on stderr what
// the domain needs besides. Nothing is made and nothing is asked of the helper; interfaces are only looked at.

#include <cerrno>
#include <cstdio>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "net/rtnl.h"
#include "tools/command.h"
#include "tools/guest_mac.h"
#include "tools/libvirt_element.h"
#include "tools/options.h"

namespace tapferry {
namespace {

constexpr CommandHelp kHelp = {
    "",
    "Prints the <interface> element by which libvirt, as an ordinary user (qemu:///session), has\n"
    "the interface that SPEC asks for; on stderr, what the domain needs besides.",
    "A bridge= comes to type='bridge', for which libvirt runs the helper that bridge_helper= in\n"
    "its qemu.conf names; an interface that exists and is yours (tap=NAME, device=NAME) to\n"
    "type='ethernet'; with --vhost-user anything to type='vhostuser'.\n"
    "\n"
    "  tapferry libvirt-xml --net=bridge=br0 > nic.xml && virsh attach-device vm1 nic.xml --config\n"
    "  tapferry libvirt-xml --net=bridge=br0,queues=2 --vhost-user=/run/user/1000/vm1-net0\n"};

Result<LibvirtRequest> read_options(int argc, char** argv) {
  g_autofree char* net = nullptr;
  g_autofree char* socket = nullptr;
  const GOptionEntry entries[] = {
      {"net", 'n', 0, G_OPTION_ARG_FILENAME, &net, "the interface that is asked for", "SPEC"},
      {"vhost-user", 0, 0, G_OPTION_ARG_FILENAME, &socket, "a tapferry-vhost listens at SOCKET", "SOCKET"},
      {}};
  TRY(parse_options(kHelp, entries, argc, argv));
  if (net == nullptr) return Error("read", "the command line", "--net=SPEC is missing");
  LibvirtRequest request;
  request.spec_text = net;
  request.spec = TRY(parse_spec(net));
  request.vhost_user_socket = string_of(socket);
  return request;
}

// By a name, an index, or the node that the host's kernel gives it.
Result<Link> find_link(Rtnl& rtnl, const std::string& which) {
  if (is_interface_name(which)) {
    Result<Link> named = get_link(rtnl, which);
    if (named.is_ok() || named.error().code() != ENODEV) return named;
  }
  std::string_view digits = which;
  consume_prefix(&digits, "/dev/");
  consume_prefix(&digits, "tap");
  const auto index = parse_uint(digits, 1, INT32_MAX);
  if (!index) return Error::from_errno("find", which, ENODEV);
  return get_link(rtnl, static_cast<int>(*index));
}

Result<std::optional<Link>> existing_link(const Spec& spec) {
  const std::optional<std::string> name = named_interface(spec);
  if (!name) return std::optional<Link>();
  Rtnl rtnl = TRY(Rtnl::open());
  Result<Link> found = find_link(rtnl, *name);
  if (found.is_ok()) return std::optional<Link>(std::move(found).value());
  if (found.error().code() == ENODEV) return std::optional<Link>();
  return std::move(found).error();
}

// What would keep libvirt from opening it as this user.
void note_access(const Link& link) {
  const std::string node = link.kind == "tun" ? "/dev/net/tun" : "/dev/tap" + std::to_string(link.index);
  if (access(node.c_str(), R_OK | W_OK) != 0) {
    log_error(kProgram,
              Error::from_errno("open", node, errno).with_hint("libvirt opens it as you, and will be refused"));
  }
  if (link.kind == "tun" && link.tap_owner && *link.tap_owner != getuid()) {
    log_line(kProgram, link.name + " belongs to uid " + std::to_string(*link.tap_owner) + ": libvirt will be refused");
  }
}

Status print_element(LibvirtRequest request) {
  request.existing = TRY(existing_link(request.spec));
  request.fresh_mac = TRY(random_guest_mac());
  const LibvirtElement element = TRY(libvirt_element(request));
  fputs(element.xml.c_str(), stdout);
  for (const std::string& note : element.notes) log_line(kProgram, note);
  if (request.existing && !request.vhost_user_socket) note_access(*request.existing);
  return {};
}

}  // namespace

int libvirt_xml_command(int argc, char** argv) {
  auto request = read_options(argc, argv);
  if (!request.is_ok()) return fail_usage("libvirt-xml", request.error());
  const Status status = print_element(std::move(request).value());
  return status.is_ok() ? kExitDone : fail(status.error());
}

}  // namespace tapferry
