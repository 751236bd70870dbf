// SPDX-License-Identifier: MIT
#include "tools/checks.h"

#include <algorithm>
#include <linux/if_tun.h>

#include "net/child.h"
#include "net/ovs.h"
#include "net/tag.h"

namespace tapferry {
namespace {

// What QEMU's own helper hands over, and so what its callers expect.
constexpr unsigned kQemuVnetHdrSize = 10;

std::string on_off(bool value) { return value ? "on" : "off"; }

std::string joined(const std::vector<std::string>& words, const char* if_none) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text.empty() ? if_none : text;
}

std::string header_text(unsigned bytes) { return bytes == 0 ? "none" : std::to_string(bytes) + " bytes"; }

// The rows in the making.
class Rows {
 public:
  // Right if both are the same; nothing asked if `asked` is empty.
  void compare(const std::string& property, const std::string& asked, const std::string& received) {
    judge(property, asked, received, asked == received);
  }
  void judge(const std::string& property, const std::string& asked, const std::string& received, bool is_right) {
    CheckResult result = is_right ? CheckResult::kOk : CheckResult::kWrong;
    if (asked.empty()) result = CheckResult::kNothingAsked;
    checks_.push_back({property, asked, received, result});
  }
  void tell(const std::string& property, const std::string& received) { compare(property, "", received); }

  std::vector<Check> take() { return std::move(checks_); }

 private:
  std::vector<Check> checks_;
};

bool is_of_macvtap(const Asked& asked) { return asked.spec.kind == Kind::kMacvtap || asked.spec.kind == Kind::kDevice; }

// With vhost=auto the record says whether there is vhost-net on the host.
size_t expected_vhost(const Asked& asked, const Facts& facts) {
  switch (asked.spec.vhost) {
    case VhostNet::kOff: return 0;
    case VhostNet::kOn: return asked.spec.queues;
    case VhostNet::kAuto: return facts.record ? facts.record->vhost : 0;
  }
  return 0;
}

size_t expected_fds(const Asked& asked, const Facts& facts) {
  if (asked.form == Asked::Form::kBridge) return 1;
  return asked.spec.queues + expected_vhost(asked, facts);
}

std::string record_text(const Facts& facts) {
  return facts.record ? "version 1, by rule " + facts.record->rule : "none: " + facts.record_error;
}

void check_message(const Asked& asked, const Facts& facts, Rows* rows) {
  const bool is_asked = asked.form != Asked::Form::kListen;
  if (facts.wait_status) {
    rows->compare("helper's end", is_asked ? "status 0" : "", describe_wait_status(*facts.wait_status));
  }
  rows->compare("descriptors", is_asked ? std::to_string(expected_fds(asked, facts)) : "",
                std::to_string(facts.fds.size()));
  if (asked.spec.vhost != VhostNet::kOff) {
    const auto vhost = std::count_if(facts.fds.begin(), facts.fds.end(),
                                     [](const FdFacts& fd) { return fd.vhost_features.has_value(); });
    rows->compare("of vhost-net", std::to_string(expected_vhost(asked, facts)), std::to_string(vhost));
  }
  if (asked.form == Asked::Form::kBridge) {
    const std::string zero(1, '\0');
    const std::string received = facts.text == zero ? "one zero byte" : std::to_string(facts.bytes) + " bytes";
    rows->compare("message", "one zero byte", received);
  } else {
    rows->tell("message", std::to_string(facts.bytes) + " bytes");
    rows->judge("record", is_asked ? "version 1" : "", record_text(facts), facts.record.has_value());
  }
  const std::string trailing =
      std::to_string(facts.trailing_bytes) + " bytes, " + std::to_string(facts.trailing_fds) + " descriptors";
  rows->compare("behind it", "0 bytes, 0 descriptors", facts.is_truncated ? "more than fits" : trailing);
}

std::string expected_flags(const Asked& asked) {
  unsigned flags = IFF_TAP | IFF_NO_PI;
  if (asked.form == Asked::Form::kBridge) return joined(tap_flag_names(flags | IFF_VNET_HDR), "");
  if (asked.spec.queues > 1) flags |= IFF_MULTI_QUEUE;
  if (asked.spec.vnet_hdr) flags |= IFF_VNET_HDR;
  // A macvtap has no such flag: it stays by itself.
  if (asked.spec.persist && asked.spec.kind != Kind::kMacvtap) flags |= IFF_PERSIST;
  return joined(tap_flag_names(flags), "");
}

unsigned expected_header(const Asked& asked) {
  if (asked.form == Asked::Form::kBridge) return kQemuVnetHdrSize;
  return asked.spec.vnet_hdr ? asked.spec.vnet_hdr_sz : 0;
}

// Empty: nothing was asked.
std::string expected_kind(const Asked& asked, const Facts& facts, size_t number) {
  if (asked.form == Asked::Form::kListen) return "";
  if (number >= expected_fds(asked, facts)) return "none";
  if (number >= asked.spec.queues) return "vhost-net";
  return is_of_macvtap(asked) ? "macvtap queue" : "tap queue";
}

void check_fd(const Asked& asked, const Facts& facts, size_t number, Rows* rows) {
  const FdFacts& fd = facts.fds[number];
  const bool is_asked = asked.form != Asked::Form::kListen;
  const auto name = [&](const char* property) { return "fd " + std::to_string(number) + " " + property; };
  const bool is_expected = is_asked && number < expected_fds(asked, facts);
  rows->compare(name("kind"), expected_kind(asked, facts, number), fd.kind);
  rows->tell(name("path"), fd.path);
  const std::string nonblocking = on_off(asked.form == Asked::Form::kNet);
  rows->compare(name("O_NONBLOCK"), is_expected ? nonblocking : "", on_off(fd.is_nonblocking));
  rows->compare(name("FD_CLOEXEC"), "on", on_off(fd.is_cloexec));
  if (fd.vhost_features) rows->tell(name("features"), joined(vhost_feature_names(*fd.vhost_features), "none"));
  if (!fd.is_tap) return;
  // All queues are one interface's; the record names it.
  const std::string first = facts.record ? facts.record->ifname : number > 0 ? facts.fds[0].queue.ifname : "";
  rows->compare(name("interface"), first, fd.queue.ifname);
  rows->compare(name("flags"), is_asked ? expected_flags(asked) : "", joined(tap_flag_names(fd.queue.flags), "none"));
  rows->compare(name("vnet header"), is_asked ? header_text(expected_header(asked)) : "",
                header_text(fd.queue.vnet_hdr_sz));
  rows->tell(name("offloads"), joined(fd.offloads, "none"));
}

void check_mtu(const Asked& asked, const Facts& facts, Rows* rows) {
  const InterfaceFacts& interface = *facts.interface;
  std::string expected;
  if (facts.record) expected = std::to_string(facts.record->mtu);
  if (interface.master_mtu != 0) expected = std::to_string(interface.master_mtu);
  if (asked.spec.kind == Kind::kMacvtap && interface.lower_mtu != 0) expected = std::to_string(interface.lower_mtu);
  if (asked.spec.mtu) expected = std::to_string(*asked.spec.mtu);
  if (asked.form == Asked::Form::kListen) expected.clear();
  rows->compare("MTU", expected, std::to_string(interface.link.mtu));
}

void check_mac(const Asked& asked, const Facts& facts, Rows* rows) {
  const Mac& mac = facts.interface->link.mac;
  if (asked.form == Asked::Form::kListen) return rows->tell("MAC", to_string(mac));
  // A macvtap has the address of its guest.
  const std::optional<Mac> own = is_of_macvtap(asked) && !asked.spec.mac ? asked.spec.guest_mac : asked.spec.mac;
  if (own) return rows->compare("MAC", to_string(*own), to_string(mac));
  // So that the bridge doesn't take the guest's address for its own: it takes the least of its ports'.
  if (asked.spec.kind == Kind::kBridge) return rows->judge("MAC", "fe:*", to_string(mac), mac.bytes[0] == 0xfe);
  rows->compare("MAC", facts.record ? to_string(facts.record->mac) : "", to_string(mac));
}

void check_owner(const Asked& asked, const Link& link, Rows* rows) {
  // QEMU's helper sets neither owner nor tag; a macvtap has no owner, and one that was there before no tag of ours.
  const bool is_asked = asked.form == Asked::Form::kNet;
  const std::string owner = "uid " + std::to_string(asked.uid);
  rows->compare("owner", is_asked && !is_of_macvtap(asked) ? owner : "",
                link.tap_owner ? "uid " + std::to_string(*link.tap_owner) : "none");
  const auto tag = parse_tag(link.alias);
  rows->judge("tag", is_asked && asked.spec.kind != Kind::kDevice ? "tapferry, " + owner : "",
              link.alias.empty() ? "none" : link.alias, tag && tag->uid == asked.uid);
  std::vector<std::string> slots;
  std::copy_if(link.altnames.begin(), link.altnames.end(), std::back_inserter(slots),
               [](const std::string& name) { return name.starts_with("tapferry."); });
  rows->tell("quota slot", joined(slots, "none"));
}

void check_interface(const Asked& asked, const Facts& facts, Rows* rows) {
  const bool is_asked = asked.form != Asked::Form::kListen;
  if (!facts.interface) {
    rows->judge("interface", is_asked ? "in this network namespace" : "", facts.interface_error, false);
    return;
  }
  const InterfaceFacts& interface = *facts.interface;
  const Link& link = interface.link;
  rows->compare("type", !is_asked ? "" : is_of_macvtap(asked) ? "macvtap" : "tun", link.kind);
  rows->compare("index", facts.record ? std::to_string(facts.record->ifindex) : "", std::to_string(link.index));
  std::string up = asked.form == Asked::Form::kBridge ? "on" : "";
  // A rule may force up=off, and the record says so.
  if (facts.record) up = on_off(facts.record->up);
  // What was there before and up stays so.
  const bool may_be_up =
      asked.spec.kind == Kind::kDevice || (asked.spec.kind == Kind::kTap && !asked.spec.object.empty());
  if (asked.spec.up && (*asked.spec.up || !may_be_up)) up = on_off(*asked.spec.up);
  rows->compare("up", up, on_off(link.is_up()));
  check_mtu(asked, facts, rows);
  check_mac(asked, facts, rows);
  std::string master = !is_asked ? "" : asked.spec.kind == Kind::kBridge ? asked.spec.object : "none";
  // A tap that was there before may be a port of anything.
  if (asked.spec.kind == Kind::kTap && !asked.spec.object.empty()) master.clear();
  // Of Open vSwitch it is none, or the kernel datapath's.
  if (asked.spec.kind == Kind::kBridge && ovs_bridge(asked.spec.object)) master.clear();
  rows->compare("bridge", master, interface.master.empty() ? "none" : interface.master);
  if (link.kind == "macvtap") {
    rows->compare("parent", asked.spec.kind == Kind::kMacvtap ? asked.spec.object : "",
                  interface.lower.empty() ? "none" : interface.lower);
    rows->compare("mode", asked.spec.kind == Kind::kMacvtap ? std::string(mode_name(asked.spec.mode)) : "",
                  interface.mode);
  }
  check_owner(asked, link, rows);
  rows->tell("carrier", on_off(link.has_carrier));
}

}  // namespace

std::vector<Check> check_facts(const Asked& asked, const Facts& facts) {
  Rows rows;
  check_message(asked, facts, &rows);
  for (size_t i = 0; i < facts.fds.size(); ++i) check_fd(asked, facts, i, &rows);
  check_interface(asked, facts, &rows);
  return rows.take();
}

bool is_all_right(const std::vector<Check>& checks) {
  return std::none_of(checks.begin(), checks.end(),
                      [](const Check& check) { return check.result == CheckResult::kWrong; });
}

const char* result_word(CheckResult result) {
  switch (result) {
    case CheckResult::kOk: return "ok";
    case CheckResult::kWrong: return "WRONG";
    case CheckResult::kNothingAsked: return "-";
  }
  return "?";
}

}  // namespace tapferry
