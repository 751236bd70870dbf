// SPDX-License-Identifier: MIT
//
// Frames that only cross a bridge go through iptables' FORWARD chain too where the kernel was told so
// (Documentation/networking/bridge.rst, "Netfilter"); and there a policy of drop, as Docker sets it, drops them. Who may see the chains
// is told for sure, everybody else that it may be.

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <memory>
#include <optional>
#include <vector>

#include "base/fd.h"
#include "base/syscall.h"
#include "net/link.h"
#include "tools/doctor.h"
#include "tools/doctor_command.h"

namespace tapferry {
namespace {

constexpr const char* kSysctls[] = {"bridge-nf-call-iptables", "bridge-nf-call-ip6tables"};
constexpr const char* kBridgeOptions[] = {"nf_call_iptables", "nf_call_ip6tables"};

bool is_on(const std::string& path) {
  std::ifstream file(path);
  int value = 0;
  return file >> value && value != 0;
}

// What passes these bridges' frames on, and the command that ends it; an empty command: nothing does.
struct Passing {
  std::string by;
  std::string command;

  void add(const std::string& what, const std::string& mend) {
    by += (by.empty() ? "" : ", ") + what;
    command += (command.empty() ? "" : " && ") + mend;
  }
};

Passing find_passing(const std::vector<std::string>& bridges) {
  Passing passing;
  for (const char* name : kSysctls) {
    if (is_on(std::string("/proc/sys/net/bridge/") + name)) {
      passing.add(name, as_root(std::string("sysctl -w net.bridge.") + name + "=0"));
    }
  }
  for (const std::string& bridge : bridges) {
    for (const char* option : kBridgeOptions) {
      if (!is_on("/sys/class/net/" + bridge + "/bridge/" + option)) continue;
      passing.add(bridge + "'s " + option,
                  as_root("ip link set " + shell_word(bridge) + " type bridge " + option + " 0"));
    }
  }
  return passing;
}

bool is_about(const ListedRule& rule, const std::string& bridge) {
  if (rule.kind != "bridge" || rule.is_about_ovs()) return false;
  if (rule.is_literal()) return rule.object == bridge;
  return bridge.starts_with(std::string_view(rule.object).substr(0, rule.object.size() - 1));
}

// ---- nf_tables ------------------------------------------------------------------------------------

// The address family's name, for those whose chains see a bridge's frames in this way.
const char* family_name(unsigned family) {
  if (family == NFPROTO_IPV4) return "ip";
  if (family == NFPROTO_IPV6) return "ip6";
  return family == NFPROTO_INET ? "inet" : nullptr;
}

bool is_forward_hook(const nlattr* nest) {
  bool is_forward = false;
  for_each_nested(nest, [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) != NFTA_HOOK_HOOKNUM) return;
    is_forward = be32toh(value_of<uint32_t>(attribute)) == NF_INET_FORWARD;
  });
  return is_forward;
}

// "ip filter FORWARD" of a chain that drops what is forwarded, or nothing.
std::string dropping_chain(const nlmsghdr* message) {
  const auto* family = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(message));
  const char* name = family_name(family->nfgen_family);
  if (name == nullptr) return "";
  std::string chain;
  std::string table;
  bool is_forward = false;
  bool drops = false;
  for_each_attribute(message, sizeof *family, [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case NFTA_CHAIN_TABLE: table = string_of(attribute); break;
      case NFTA_CHAIN_NAME: chain = string_of(attribute); break;
      case NFTA_CHAIN_HOOK: is_forward = is_forward_hook(attribute); break;
      case NFTA_CHAIN_POLICY: drops = be32toh(value_of<uint32_t>(attribute)) == NF_DROP; break;
      default: break;
    }
  });
  return is_forward && drops ? std::string(name) + " " + table + " " + chain : "";
}

struct CloseSocket {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};

// The error is the kernel's, EPERM for whoever may not see them.
Result<std::vector<std::string>> find_dropping_chains() {
  const auto failed = [](int code) { return Error::from_errno("list", "nftables' chains", code); };
  const std::unique_ptr<mnl_socket, CloseSocket> socket(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) != 0) return failed(errno);
  RtnlRequest request(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, NLM_F_DUMP);
  request.family_header<nfgenmsg>()->nfgen_family = NFPROTO_UNSPEC;
  if (mnl_socket_sendto(socket.get(), request.header(), request.header()->nlmsg_len) < 0) return failed(errno);
  std::vector<std::string> chains;
  std::vector<char> buffer(Rtnl::kLargestReceive);
  for (;;) {
    const ssize_t size = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
    if (size <= 0) return failed(size == 0 ? EPROTO : errno);
    int left = static_cast<int>(size);
    for (const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_type == NLMSG_DONE) return chains;
      if (message->nlmsg_type == NLMSG_ERROR) {
        const int code = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
        if (code == 0) return chains;
        return failed(code);
      }
      std::string chain = dropping_chain(message);
      if (!chain.empty()) chains.push_back(std::move(chain));
    }
  }
}

bool has_legacy_tables() {
  std::ifstream names("/proc/net/ip_tables_names");
  std::string name;
  return static_cast<bool>(names >> name);
}

}  // namespace

Status check_netfilter(const Patient& patient, Diagnosis* diagnosis) {
  if (patient.policy == nullptr) return {};
  std::vector<std::string> bridges;
  TRY(for_each_link(patient.rtnl, "bridge", [&](const Link& link) {
    const auto& rules = patient.policy->rules;
    if (std::none_of(rules.begin(), rules.end(),
                     [&](const ListedRule& rule) { return is_relevant(patient, rule) && is_about(rule, link.name); })) {
      return;
    }
    if (std::find(bridges.begin(), bridges.end(), link.name) == bridges.end()) bridges.push_back(link.name);
  }));
  if (bridges.empty()) return {};
  const Passing passing = find_passing(bridges);
  if (passing.command.empty()) return {};
  const std::string object = "netfilter on " + bridges.front() + (bridges.size() > 1 ? " and others" : "");
  const std::string lasting = "until the next boot; for good, a file in /etc/sysctl.d says so, see sysctl.d(5)";
  const auto chains = find_dropping_chains();
  if (chains.is_ok() && !chains.value().empty()) {
    diagnosis->findings.push_back({finding::kNetfilterDrops, object,
                                   "frames between its ports go through the chain " + chains.value().front() +
                                       ", which drops what no rule of it accepts (" + passing.by + ")",
                                   passing.command, lasting});
  } else if ((!chains.is_ok() && chains.error().code() == EPERM) || has_legacy_tables()) {
    diagnosis->findings.push_back({finding::kNetfilterMayDrop, object,
                                   "frames between its ports go through iptables' FORWARD chain, which may drop them "
                                   "(" +
                                       passing.by + "); root sees whether it does",
                                   passing.command, lasting});
  }
  return {};
}

}  // namespace tapferry
