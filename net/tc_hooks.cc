// SPDX-License-Identifier: MIT
#include "net/tc_hooks.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <span>

namespace tapferry {
namespace {

// Ours by their handles: any that is unlikely to be somebody's. A default qdisc has 0, a nameless one of tc(8) 8000 upwards.
constexpr uint32_t kQueueHandle = 0x7a9e0000;
constexpr uint32_t kClsactHandle = TC_H_MAKE(TC_H_CLSACT, 0);
constexpr uint32_t kFilterHandle = 0x7a9e;
// Filters run in the order of their priorities: what doesn't cross doesn't use up the rate.
constexpr uint16_t kFramePriority = 1;
constexpr uint16_t kRatePriority = 2;

// How much passes at once at most: what the rate comes to in this time. tbf and police remember no more than that, so a timer
// or a softirq that is later than it lowers the rate (10 ms: by 5 to 13 % on an emulated host, 50 ms: by nothing); and in the
// first second the burst is what passes on top, 5 % of it here.
constexpr uint64_t kBurstMs = 50;
// How long a frame may wait in tbf's queue before the next is dropped.
constexpr uint64_t kLatencyMs = 50;
constexpr uint64_t kMostQueuedBytes = 16 << 20;
// A GSO frame of 64 KiB with the headers that its segments will have. tbf takes one apart that is larger than its burst
// (tbf_segment()), and its queue must hold all the parts. Police can only let it pass or drop it, so its burst must hold one;
// and a second, since what is earned while the first waits to be due is lost (with one, 60 % of 10 Mbit/s passed).
constexpr uint64_t kLargestFrameBytes = 72 << 10;
constexpr unsigned kEthernetAndVlanHeaders = 22;  // bytes, with two tags

constexpr size_t kSmallRequest = 1024;
// A filter message holds one program (8 bytes an instruction) or one rate table, and little else.
size_t filter_request_size(size_t instructions) { return 1024 + TC_RTAB_SIZE + instructions * sizeof(sock_filter); }

uint32_t parent_of(Hook hook) {
  return TC_H_MAKE(TC_H_CLSACT, hook == Hook::kIngress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
}

RtnlRequest tc_request(uint16_t type, uint16_t flags, const Link& link, uint32_t parent, uint32_t handle,
                       size_t capacity = kSmallRequest) {
  RtnlRequest request(type, flags, capacity);
  auto* header = request.family_header<tcmsg>();
  header->tcm_family = AF_UNSPEC;
  header->tcm_ifindex = link.index;
  header->tcm_parent = parent;
  header->tcm_handle = handle;
  return request;
}

RtnlRequest filter_request(uint16_t type, uint16_t flags, const Link& link, Hook hook, uint16_t priority,
                           size_t capacity = kSmallRequest) {
  RtnlRequest request = tc_request(type, flags, link, parent_of(hook), kFilterHandle, capacity);
  auto* header = static_cast<tcmsg*>(mnl_nlmsg_get_payload(request.header()));
  header->tcm_info = TC_H_MAKE(static_cast<uint32_t>(priority) << 16, htons(ETH_P_ALL));
  request.put_string(TCA_KIND, "bpf");
  return request;
}

// ---- Rates ----------------------------------------------------------------------------------------

uint64_t bytes_in(uint64_t bytes_per_second, uint64_t ms) {
  return bytes_per_second / 1000 * ms + bytes_per_second % 1000 * ms / 1000;
}

tc_ratespec rate_of(uint64_t bytes_per_second) {
  tc_ratespec rate = {};
  rate.linklayer = TC_LINKLAYER_ETHERNET;
  rate.rate = static_cast<uint32_t>(std::min<uint64_t>(bytes_per_second, UINT32_MAX));
  return rate;
}

// What PSCHED_TICKS2NS() of include/net/pkt_sched.h undoes: ticks of 64 ns.
uint32_t ticks(uint64_t bytes, uint64_t bytes_per_second) {
  const double ns = static_cast<double>(bytes) * 1e9 / static_cast<double>(bytes_per_second);
  return static_cast<uint32_t>(std::min<double>(ns / 64, UINT32_MAX));
}

void put_police(RtnlRequest& request, uint64_t bits_per_second) {
  const uint64_t bytes_per_second = bits_per_second / 8;
  const uint64_t burst = std::max(bytes_in(bytes_per_second, kBurstMs), 2 * kLargestFrameBytes);
  tc_police police = {};
  police.action = TC_ACT_SHOT;
  police.rate = rate_of(bytes_per_second);
  // At ingress the frame's length is without its Ethernet header (qdisc_pkt_len in sch_handle_ingress()).
  police.rate.overhead = ETH_HLEN;
  // The kernel wants a table and its scale (qdisc_get_rtab()), and reckons without (psched_ratecfg_precompute()).
  police.rate.cell_log = 16;
  const std::array<char, TC_RTAB_SIZE> table = {};
  police.mtu = UINT32_MAX;
  police.burst = ticks(burst, bytes_per_second);
  nlattr* actions = request.begin_nest(TCA_BPF_ACT);
  nlattr* first = request.begin_nest(1);
  request.put_string(TCA_ACT_KIND, "police");
  nlattr* options = request.begin_nest(TCA_ACT_OPTIONS);
  request.put_bytes(TCA_POLICE_TBF, &police, sizeof police);
  request.put_bytes(TCA_POLICE_RATE, table.data(), table.size());
  if (bytes_per_second > UINT32_MAX) request.put_u64(TCA_POLICE_RATE64, bytes_per_second);
  request.end_nest(options);
  request.end_nest(first);
  request.end_nest(actions);
}

uint64_t read_rate(const nlattr* options, uint16_t parameters_type, uint16_t rate64_type,
                   tc_ratespec (*rate_in)(const nlattr*)) {
  uint64_t bytes_per_second = 0;
  for_each_nested(options, [&](const nlattr* attribute) {
    const uint16_t type = mnl_attr_get_type(attribute);
    if (type == parameters_type) bytes_per_second = std::max<uint64_t>(bytes_per_second, rate_in(attribute).rate);
    if (type == rate64_type) bytes_per_second = value_of<uint64_t>(attribute);
  });
  return bytes_per_second > UINT64_MAX / 8 ? UINT64_MAX : bytes_per_second * 8;
}

// ---- Reading --------------------------------------------------------------------------------------

// The kind and the options of a message about a qdisc or a filter.
struct Object {
  std::string kind;
  const nlattr* options = nullptr;
};

Object read_object(const nlmsghdr* answer) {
  Object object;
  for_each_attribute(answer, sizeof(tcmsg), [&](const nlattr* attribute) {
    const uint16_t type = mnl_attr_get_type(attribute);
    if (type == TCA_KIND) object.kind = string_of(attribute);
    if (type == TCA_OPTIONS) object.options = attribute;
  });
  return object;
}

// False: there is no qdisc with this handle.
Result<bool> find_qdisc(Rtnl& rtnl, const Link& link, uint32_t handle,
                        const std::function<void(const Object&)>& visit) {
  // Without NLM_F_ECHO the answer goes to those only who listen to all changes (qdisc_get_notify()).
  RtnlRequest request = tc_request(RTM_GETQDISC, NLM_F_ECHO, link, 0, handle);
  const Status found = rtnl.query(request, "read the queueing of", link.name, [&](const nlmsghdr* answer) {
    if (answer->nlmsg_type == RTM_NEWQDISC) visit(read_object(answer));
    return true;
  });
  if (found.is_ok()) return true;
  if (found.error().code() == ENOENT) return false;
  return found.error();
}

std::vector<sock_filter> program_in(const nlattr* ops) {
  std::vector<sock_filter> program(mnl_attr_get_payload_len(ops) / sizeof(sock_filter));
  if (!program.empty()) memcpy(program.data(), mnl_attr_get_payload(ops), program.size() * sizeof(sock_filter));
  return program;
}

std::optional<uint64_t> police_rate_in(const nlattr* actions) {
  std::optional<uint64_t> rate;
  for_each_nested(actions, [&](const nlattr* action) {
    for_each_nested(action, [&](const nlattr* attribute) {
      if (mnl_attr_get_type(attribute) != TCA_ACT_OPTIONS) return;
      rate = read_rate(attribute, TCA_POLICE_TBF, TCA_POLICE_RATE64,
                       [](const nlattr* parameters) { return value_of<tc_police>(parameters).rate; });
    });
  });
  return rate;
}

// Whether the filter is ours; what it does goes into `hooks`.
bool read_filter(const nlattr* options, uint16_t priority, Hook hook, TrafficHooks* hooks) {
  std::vector<sock_filter> program;
  std::optional<uint64_t> rate;
  for_each_nested(options, [&](const nlattr* attribute) {
    const uint16_t type = mnl_attr_get_type(attribute);
    if (type == TCA_BPF_OPS) program = program_in(attribute);
    if (type == TCA_BPF_ACT) rate = police_rate_in(attribute);
  });
  if (priority == kRatePriority && hook == Hook::kIngress && rate) {
    hooks->ingress_rate = rate;
    return true;
  }
  const auto rules = read_frame_program(program);
  if (priority != kFramePriority || !rules) return false;
  (hook == Hook::kIngress ? hooks->ingress : hooks->egress) = *rules;
  return true;
}

Status read_filters(Rtnl& rtnl, const Link& link, Hook hook, TrafficHooks* hooks) {
  RtnlRequest request = tc_request(RTM_GETTFILTER, NLM_F_DUMP, link, parent_of(hook), 0);
  return rtnl.query(request, "read the filters of", link.name, [&](const nlmsghdr* answer) {
    if (answer->nlmsg_type != RTM_NEWTFILTER || answer->nlmsg_len < NLMSG_LENGTH(sizeof(tcmsg))) return true;
    const Object filter = read_object(answer);
    // Each classifier is told once without a handle and options, then filter by filter.
    const auto* header = static_cast<const tcmsg*>(mnl_nlmsg_get_payload(answer));
    if (header->tcm_handle == 0 && filter.kind == "bpf") return true;
    const auto priority = static_cast<uint16_t>(TC_H_MAJ(header->tcm_info) >> 16);
    const bool is_ours = filter.kind == "bpf" && header->tcm_handle == kFilterHandle && filter.options != nullptr &&
                         read_filter(filter.options, priority, hook, hooks);
    if (!is_ours) hooks->clsact = Clsact::kForeign;
    return true;
  });
}

}  // namespace

Result<TrafficHooks> read_hooks(Rtnl& rtnl, const Link& link) {
  TrafficHooks hooks;
  TRY(find_qdisc(rtnl, link, kQueueHandle, [&](const Object& qdisc) {
    if (qdisc.kind != "tbf" || qdisc.options == nullptr) return;
    hooks.queue_rate = read_rate(qdisc.options, TCA_TBF_PARMS, TCA_TBF_RATE64,
                                 [](const nlattr* parameters) { return value_of<tc_tbf_qopt>(parameters).rate; });
  }));
  TRY(find_qdisc(rtnl, link, kClsactHandle, [&](const Object& qdisc) {
    hooks.clsact = qdisc.kind == "clsact" ? Clsact::kOurs : Clsact::kForeign;
  }));
  if (hooks.clsact != Clsact::kOurs) return hooks;
  for (const Hook hook : {Hook::kIngress, Hook::kEgress}) TRY(read_filters(rtnl, link, hook, &hooks));
  return hooks;
}

Status put_queue_rate(Rtnl& rtnl, const Link& link, uint64_t bits_per_second, bool is_there) {
  const uint64_t bytes_per_second = bits_per_second / 8;
  const uint64_t least = 2 * (link.mtu + kEthernetAndVlanHeaders);
  const uint64_t burst = std::clamp<uint64_t>(bytes_in(bytes_per_second, kBurstMs), least, UINT32_MAX);
  tc_tbf_qopt parameters = {};
  parameters.rate = rate_of(bytes_per_second);
  parameters.limit =
      static_cast<uint32_t>(std::clamp(bytes_in(bytes_per_second, kLatencyMs), kLargestFrameBytes, kMostQueuedBytes));
  // Without a rate of ours at the root the kernel refuses to take the place of any but a default qdisc (tc_modify_qdisc()).
  const uint16_t flags = is_there ? 0 : NLM_F_CREATE | NLM_F_EXCL;
  RtnlRequest request = tc_request(RTM_NEWQDISC, flags, link, TC_H_ROOT, kQueueHandle);
  request.put_string(TCA_KIND, "tbf");
  nlattr* options = request.begin_nest(TCA_OPTIONS);
  request.put_bytes(TCA_TBF_PARMS, &parameters, sizeof parameters);
  // In bytes: `parameters.buffer` is in ticks, which don't reach far enough for slow rates.
  request.put_u32(TCA_TBF_BURST, static_cast<uint32_t>(burst));
  if (bytes_per_second > UINT32_MAX) request.put_u64(TCA_TBF_RATE64, bytes_per_second);
  request.end_nest(options);
  return rtnl.change(request, "limit the rate of", link.name);
}

Status delete_queue_rate(Rtnl& rtnl, const Link& link) {
  RtnlRequest request = tc_request(RTM_DELQDISC, 0, link, TC_H_ROOT, kQueueHandle);
  return rtnl.change(request, "take the rate off", link.name);
}

Status add_clsact(Rtnl& rtnl, const Link& link) {
  RtnlRequest request = tc_request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, link, TC_H_CLSACT, kClsactHandle);
  request.put_string(TCA_KIND, "clsact");
  return rtnl.change(request, "make room for filters on", link.name);
}

Status delete_clsact(Rtnl& rtnl, const Link& link) {
  RtnlRequest request = tc_request(RTM_DELQDISC, 0, link, TC_H_CLSACT, kClsactHandle);
  return rtnl.change(request, "take the filters off", link.name);
}

Status put_frame_filter(Rtnl& rtnl, const Link& link, Hook hook, const FrameRules& rules) {
  const std::vector<sock_filter> program = frame_program(rules);
  RtnlRequest request =
      filter_request(RTM_NEWTFILTER, NLM_F_CREATE, link, hook, kFramePriority, filter_request_size(program.size()));
  nlattr* options = request.begin_nest(TCA_OPTIONS);
  request.put_u16(TCA_BPF_OPS_LEN, static_cast<uint16_t>(program.size()));
  request.put_bytes(TCA_BPF_OPS, program.data(), program.size() * sizeof(sock_filter));
  request.put_u32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
  request.end_nest(options);
  return rtnl.change(request, "filter the frames of", link.name);
}

Status delete_frame_filter(Rtnl& rtnl, const Link& link, Hook hook) {
  RtnlRequest request = filter_request(RTM_DELTFILTER, 0, link, hook, kFramePriority);
  return rtnl.change(request, "take the filter off", link.name);
}

Status put_ingress_rate(Rtnl& rtnl, const Link& link, uint64_t bits_per_second) {
  // Without direct action the program only chooses the frames (all of them) and the action decides. cls_matchall would do
  // the same, but a kernel may lack it, and filters need cls_bpf anyway.
  const sock_filter all = {BPF_RET | BPF_K, 0, 0, UINT32_MAX};
  RtnlRequest request =
      filter_request(RTM_NEWTFILTER, NLM_F_CREATE, link, Hook::kIngress, kRatePriority, filter_request_size(1));
  nlattr* options = request.begin_nest(TCA_OPTIONS);
  request.put_u16(TCA_BPF_OPS_LEN, 1);
  request.put_bytes(TCA_BPF_OPS, &all, sizeof all);
  put_police(request, bits_per_second);
  request.end_nest(options);
  return rtnl.change(request, "limit the rate of", link.name);
}

Status delete_ingress_rate(Rtnl& rtnl, const Link& link) {
  RtnlRequest request = filter_request(RTM_DELTFILTER, 0, link, Hook::kIngress, kRatePriority);
  return rtnl.change(request, "take the rate off", link.name);
}

}  // namespace tapferry
