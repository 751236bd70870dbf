// SPDX-License-Identifier: MIT
#include "tools/libvirt_element.h"

#include <glib.h>
#include <sys/un.h>

#include "net/ovs.h"

namespace tapferry {
namespace {

constexpr unsigned kUsualMtu = 1500;

Error cannot(const LibvirtRequest& request, std::string_view reason) {
  return Error("express", request.spec_text, reason);
}

// The ways that have all keys.
std::string other_ways(const Spec& spec) {
  const bool can_persist = spec.kind != Kind::kDevice;
  return std::string("give --vhost-user=SOCKET") + (can_persist ? ", or persist=on and name=" : "");
}

// ---- XML ------------------------------------------------------------------------------------------

std::string escaped(const std::string& text) {
  g_autofree char* safe = g_markup_escape_text(text.data(), static_cast<gssize>(text.size()));
  return safe;
}

std::string attribute(const char* name, const std::string& value) {
  return std::string(" ") + name + "='" + escaped(value) + "'";
}

// One <interface>, a line for each of its elements.
class Interface {
 public:
  Interface(const char* type, const Mac& mac) {
    text_ = "<interface" + attribute("type", type) + ">\n";
    add("mac", attribute("address", to_string(mac)));
  }
  void add(const char* element, const std::string& attributes) {
    text_ += std::string("  <") + element + attributes + "/>\n";
  }
  void add_line(const std::string& line) { text_ += "  " + line + "\n"; }
  // What virtio has: the model, and the queues where there are several.
  void add_model(unsigned queues) {
    add("model", attribute("type", "virtio"));
    if (queues > 1) add("driver", attribute("queues", std::to_string(queues)));
  }
  std::string finish() && { return std::move(text_) + "</interface>\n"; }

 private:
  std::string text_;
};

// For a shell.
std::string quoted_net(const LibvirtRequest& request) {
  g_autofree char* word = g_shell_quote(("--net=" + request.spec_text).c_str());
  return word;
}

// ---- What a way can't have ------------------------------------------------------------------------

struct Lost {
  const char* key;
  bool is_asked;
};

std::string listed(const std::vector<Lost>& keys) {
  std::string text;
  for (const Lost& lost : keys) {
    if (lost.is_asked) text += (text.empty() ? "" : ", ") + std::string(lost.key);
  }
  return text;
}

// What QEMU and libvirt decide by themselves, whichever way.
std::vector<Lost> decided_elsewhere(const Spec& spec) {
  return {{"vnet_hdr=off", !spec.vnet_hdr},
          {"vnet_hdr_sz=10", spec.vnet_hdr_sz == 10},
          {"vhost=on", spec.vhost == VhostNet::kOn}};
}

std::vector<Lost> said_to_helper_only(const Spec& spec) {
  return {{"name=", spec.name.has_value()},       {"up=off", spec.up == false},
          {"mac=", spec.mac.has_value()},         {"mtu=", spec.mtu.has_value()},
          {"lock=", spec.lock == true},           {"isolated=", spec.isolated == true},
          {"rate_to=", spec.rate_to.has_value()}, {"rate_from=", spec.rate_from.has_value()},
          {"filter=", spec.filter.has_value()}};
}

Status check_decided_elsewhere(const LibvirtRequest& request) {
  const std::string lost = listed(decided_elsewhere(request.spec));
  if (lost.empty()) return {};
  return cannot(request, lost + ": libvirt and QEMU decide that themselves").with_hint("leave it out");
}

// libvirt adds the port itself, as root; without privilege it passes the helper the bridge's name only.
Error ovs_error(const LibvirtRequest& request, const std::string& bridge) {
  const std::string iface_id = request.spec.iface_id.value_or("UUID");
  return cannot(request,
                "libvirt adds ports to Open vSwitch in qemu:///system only, and there without tapferry, by <source "
                "bridge='" +
                    bridge + "'/><virtualport type='openvswitch'><parameters interfaceid='" + iface_id +
                    "'/></virtualport>")
      .with_hint(other_ways(request.spec));
}

// ---- The three ways -------------------------------------------------------------------------------

Result<LibvirtElement> bridge_element(const LibvirtRequest& request) {
  const Spec& spec = request.spec;
  TRY(check_decided_elsewhere(request));
  if (const auto bridge = ovs_bridge(spec.object)) return ovs_error(request, std::string(*bridge));
  std::vector<Lost> keys = said_to_helper_only(spec);
  keys.push_back({"queues=", spec.queues > 1});
  const std::string lost = listed(keys);
  if (!lost.empty()) {
    return cannot(request, lost + ": libvirt tells the helper nothing but the bridge's name")
        .with_hint(other_ways(spec));
  }
  Interface element("bridge", spec.guest_mac.value_or(request.fresh_mac));
  element.add("source", attribute("bridge", spec.object));
  element.add_model(1);
  return LibvirtElement{std::move(element).finish(), {}};
}

// A macvtap takes no frame that is sent to another address than its own.
Result<Mac> mac_on(const LibvirtRequest& request, const std::optional<Mac>& macvtap_mac) {
  const std::optional<Mac>& wanted = request.spec.guest_mac;
  if (!macvtap_mac) return wanted.value_or(request.fresh_mac);
  if (wanted && *wanted != *macvtap_mac) {
    return cannot(request, "guest_mac= isn't the macvtap's own address, " + to_string(*macvtap_mac))
        .with_hint("leave it out");
  }
  return *macvtap_mac;
}

std::optional<Mac> own_mac(const std::optional<Link>& link) {
  if (!link || link->kind != "macvtap") return std::nullopt;
  return link->mac;
}

// Of a macvtap that isn't there yet. `or_else` is a way besides choosing the address.
Result<Mac> mac_on_new_macvtap(const LibvirtRequest& request, std::string_view or_else) {
  const Spec& spec = request.spec;
  if (spec.mac) return mac_on(request, spec.mac);
  if (spec.guest_mac) return *spec.guest_mac;
  return cannot(request, "the guest must have the macvtap's MAC address, which isn't known yet")
      .with_hint("choose it: mac=, which the policy's rule must allow" + std::string(or_else));
}

Result<Mac> mac_on_ethernet(const LibvirtRequest& request) {
  if (request.existing || request.spec.kind != Kind::kMacvtap) return mac_on(request, own_mac(request.existing));
  return mac_on_new_macvtap(request, "; or make it first: tapferry probe " + quoted_net(request));
}

Status check_existing(const LibvirtRequest& request) {
  const Spec& spec = request.spec;
  const std::string name = named_interface(spec).value_or("");
  if (name.empty() || name.find('%') != std::string::npos) {
    return cannot(request, "the element must name an interface").with_hint("give name=");
  }
  const char* const kind = spec.kind == Kind::kDevice || spec.kind == Kind::kMacvtap ? "macvtap" : "tun";
  if (request.existing && request.existing->kind != kind) {
    return cannot(request, request.existing->name + " is no " + (kind == std::string("tun") ? "tap" : "macvtap"));
  }
  if (request.existing || spec.persist) return {};
  return cannot(request, "there is no " + name + ", and libvirt makes none without privilege")
      .with_hint(other_ways(spec));
}

Result<LibvirtElement> ethernet_element(const LibvirtRequest& request) {
  const Spec& spec = request.spec;
  TRY(check_decided_elsewhere(request));
  TRY(check_existing(request));
  // With persist=on they were said when the interface was made.
  std::vector<Lost> keys = said_to_helper_only(spec);
  const std::string lost = spec.persist ? "" : listed(keys);
  if (!lost.empty()) {
    return cannot(request, lost + ": libvirt opens the interface as it is, without the helper")
        .with_hint(other_ways(spec));
  }
  const std::string name = request.existing ? request.existing->name : *named_interface(spec);
  Interface element("ethernet", TRY(mac_on_ethernet(request)));
  element.add("target", attribute("dev", name) + " managed='no'");
  element.add_model(spec.queues);
  const unsigned mtu = request.existing ? request.existing->mtu : spec.mtu.value_or(kUsualMtu);
  if (mtu != kUsualMtu) element.add("mtu", attribute("size", std::to_string(mtu)));
  LibvirtElement made{std::move(element).finish(), {}};
  if (!request.existing) made.notes.push_back(name + " isn't there yet: tapferry probe " + quoted_net(request));
  return made;
}

Status check_socket(const LibvirtRequest& request) {
  const std::string& path = *request.vhost_user_socket;
  const auto refuse = [&](std::string_view reason) { return Error("use", path, reason); };
  if (!path.starts_with('/')) return refuse("the socket needs an absolute path: libvirt has another directory");
  if (path.size() >= sizeof(sockaddr_un::sun_path)) return refuse("longer than a socket's path can be");
  for (const char c : path) {
    if (g_ascii_iscntrl(c)) return refuse("XML has no control characters");
  }
  if (!g_utf8_validate(path.data(), static_cast<gssize>(path.size()), nullptr)) return refuse("XML is UTF-8 only");
  return {};
}

Result<Mac> mac_over_vhost_user(const LibvirtRequest& request) {
  if (request.spec.kind == Kind::kMacvtap) return mac_on_new_macvtap(request, "");
  return mac_on(request, own_mac(request.existing));
}

Result<LibvirtElement> vhost_user_element(const LibvirtRequest& request) {
  const Spec& spec = request.spec;
  TRY(check_decided_elsewhere(request));
  TRY(check_socket(request));
  const std::string& path = *request.vhost_user_socket;
  Interface element("vhostuser", TRY(mac_over_vhost_user(request)));
  element.add_line("<source type='unix'" + attribute("path", path) + " mode='client'>");
  element.add_line("  <reconnect enabled='yes' timeout='1'/>");
  element.add_line("</source>");
  element.add_model(spec.queues);
  LibvirtElement made{std::move(element).finish(), {}};
  g_autofree char* socket_word = g_shell_quote(("--socket-path=" + path).c_str());
  made.notes.push_back(std::string("run beside the domain: tapferry-vhost ") + socket_word + " " + quoted_net(request));
  made.notes.emplace_back(
      "the domain's memory must be shared: <memoryBacking><source type='memfd'/><access "
      "mode='shared'/></memoryBacking>");
  // In session mode libvirt would set the MTU of an interface that it has no name of, and fail.
  if (spec.mtu)
    made.notes.push_back("set the MTU in the guest: libvirt can't pass on mtu=" + std::to_string(*spec.mtu));
  return made;
}

}  // namespace

std::optional<std::string> named_interface(const Spec& spec) {
  if (spec.kind == Kind::kDevice || (spec.kind == Kind::kTap && !spec.object.empty())) return spec.object;
  if (spec.persist) return spec.name;
  return std::nullopt;
}

Result<LibvirtElement> libvirt_element(const LibvirtRequest& request) {
  const Spec& spec = request.spec;
  if (!g_utf8_validate(spec.object.data(), static_cast<gssize>(spec.object.size()), nullptr)) {
    return cannot(request, "XML is UTF-8 only");
  }
  if (request.vhost_user_socket) return vhost_user_element(request);
  if (spec.persist || named_interface(spec)) return ethernet_element(request);
  if (spec.kind == Kind::kBridge) return bridge_element(request);
  return cannot(request, "libvirt makes no " + std::string(kind_name(spec.kind)) + " without privilege")
      .with_hint(other_ways(spec));
}

}  // namespace tapferry
