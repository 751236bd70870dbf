// SPDX-License-Identifier: MIT
//
// `tapferry attach`: asks for interfaces and plugs them into a running VM as NICs. QEMU is connected to first and has to have
// room, so that nothing is asked in vain; then all interfaces are asked for; then QEMU gets them, all or none.

#include <cstdio>
#include <string>
#include <vector>

#include "net/ask_broker.h"
#include "net/spec.h"
#include "tools/backend.h"
#include "tools/command.h"
#include "tools/granted_nic.h"
#include "tools/hotplug.h"
#include "tools/hotplug_machine.h"
#include "tools/json.h"
#include "tools/options.h"
#include "tools/vm_monitor.h"

namespace tapferry {
namespace {

struct AttachOptions {
  VmChoice vm;
  std::string helper;
  Via via = Via::kAuto;
  std::vector<std::string> spec_texts;
  std::vector<Spec> specs;
  std::vector<std::string> ids;    // as many as specs, or none
  std::vector<std::string> buses;  // likewise
  bool has_json = false;
  bool is_vhost_user = false;
};

constexpr CommandHelp kHelp = {
    "",
    "Asks tapferry-helper for the interfaces, and plugs them into a running VM as virtio NICs, all\n"
    "or none. Prints each NIC's id, by which `tapferry detach' takes it out again.",
    "Without --id a NIC has its interface's name. Several --id= and --bus= go with the --net= in\n"
    "their order.\n"
    "\n"
    "SPEC is bridge=BRIDGE, tap[=NAME], macvtap=PARENT or device=WHICH, then ,key=value...:\n"
    "see tapferry(1).\n"
    "\n"
    "  tapferry attach --qmp=/run/user/1000/vm.qmp --net=bridge=br0\n"
    "  tapferry attach --domain=web --net=macvtap=eth0,queues=2 --id=uplink\n"};

Status check_ids(const std::vector<std::string>& ids) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (!is_device_id(ids[i])) {
      return Error("read", "--id=" + ids[i], "it is no letter followed by letters, digits, `-', `.' and `_'");
    }
    for (size_t k = 0; k < i; ++k) {
      if (ids[k] == ids[i]) return Error("read", "--id=" + ids[i], "it was given before");
    }
  }
  return {};
}

Status check(const AttachOptions& options) {
  if (options.spec_texts.empty()) return Error("read", "the command line", "--net=SPEC is missing");
  const size_t count = options.spec_texts.size();
  if (!options.ids.empty() && options.ids.size() != count) {
    return Error("read", "the command line", "give as many --id= as --net=, or none");
  }
  if (!options.buses.empty() && options.buses.size() != count) {
    return Error("read", "the command line", "give as many --bus= as --net=, or none");
  }
  return check_ids(options.ids);
}

Result<AttachOptions> read_options(int argc, char** argv) {
  VmOptions vm;
  g_autofree char* helper = nullptr;
  g_autofree char* via = nullptr;
  g_auto(GStrv) nets = nullptr;
  g_auto(GStrv) ids = nullptr;
  g_auto(GStrv) buses = nullptr;
  gboolean is_vhost_user = FALSE;
  gboolean json = FALSE;
  const GOptionEntry entries[] = {
      vm.qmp_entry(),
      vm.domain_entry(),
      vm.connect_entry(),
      {"net", 'n', 0, G_OPTION_ARG_FILENAME_ARRAY, &nets, "an interface to ask for (may be repeated)", "SPEC"},
      {"id", 'i', 0, G_OPTION_ARG_FILENAME_ARRAY, &ids, "the NIC's id (default: the interface's name; may be repeated)",
       "ID"},
      {"bus", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &buses, "where to plug it in (default: a free port; may be repeated)",
       "BUS"},
      {"helper", 0, 0, G_OPTION_ARG_FILENAME, &helper, "the program to ask (default: tapferry-helper)", "PATH"},
      {"via", 0, 0, G_OPTION_ARG_STRING, &via, "whom to ask (default: auto)", "helper|broker|auto"},
      {"vhost-user", 0, 0, G_OPTION_ARG_NONE, &is_vhost_user, "tapferry-vhost moves the frames", nullptr},
      {"json", 'j', 0, G_OPTION_ARG_NONE, &json, "print one JSON object", nullptr},
      {}};
  TRY(parse_options(kHelp, entries, argc, argv));
  AttachOptions options;
  options.vm = TRY(vm.choice());
  options.helper = helper_path(helper);
  options.via = TRY(via_of(via, helper));
  options.spec_texts = strings_of(nets);
  options.ids = strings_of(ids);
  options.buses = strings_of(buses);
  options.has_json = json != FALSE;
  options.is_vhost_user = is_vhost_user != FALSE;
  TRY(check(options));
  for (const std::string& text : options.spec_texts) {
    options.specs.push_back(TRY(parse_spec(text)));
    if (options.is_vhost_user) TRY(check_vhost_user(options.specs.back(), text));
  }
  return options;
}

Status check_is_new(Qmp& qmp, const std::string& id) {
  if (!TRY(has_device(qmp, id))) return {};
  return Error("attach", id, "the VM has a device of this id already")
      .with_hint("give another one by --id=, or remove it: tapferry detach");
}

// Where no port is free the bus is QEMU's choice, and so is the reason why there is none.
Result<std::vector<std::string>> choose_buses(Qmp& qmp, const AttachOptions& options) {
  if (!options.buses.empty()) return options.buses;
  std::vector<std::string> buses = TRY(free_ports(qmp));
  buses.resize(options.specs.size());
  return buses;
}

Result<std::vector<GrantedInterface>> ask_for_all(const AttachOptions& options) {
  std::vector<GrantedInterface> granted;
  for (const std::string& spec : options.spec_texts) {
    granted.push_back(TRY(take_interface(TRY(ask_via(options.via, options.helper, spec)))));
  }
  return granted;
}

Status check_memory(Qmp& qmp, const AttachOptions& options) {
  if (!options.is_vhost_user || TRY(has_shared_memory(qmp))) return {};
  return Error("attach", options.vm.name(), "its guest's memory can't be shared, which --vhost-user needs")
      .with_hint("start it with -object memory-backend-memfd,id=mem,share=on,size=... and -machine memory-backend=mem");
}

// The interfaces, and what has to live until QEMU has them.
struct Plugged {
  std::vector<GrantedInterface> granted;
  std::vector<HotplugNic> nics;
  std::vector<Fd> lifelines;
};

// A backend of its own for each NIC, so that it ends with this one.
Status serve(GrantedInterface* interface, HotplugNic* nic, Plugged* plugged) {
  std::vector<BackendJob> jobs;
  jobs.push_back({interface->grant.ifname, std::move(interface->queues)});
  RunningBackends running = TRY(start_backends(vhost_path(), std::move(jobs), BackendLog::kFile));
  nic->nic.socket = running.sockets[0];
  nic->lifeline = running.lifeline.get();
  plugged->lifelines.push_back(std::move(running.lifeline));
  return {};
}

Result<HotplugNic> make_nic(const GrantedInterface& interface, const Spec& spec, const std::string& id,
                            const std::string& bus) {
  if (!is_device_id(id)) {
    return Error("attach", id, "QEMU takes no such id, which is the interface's name").with_hint("--id= gives another");
  }
  HotplugNic nic;
  nic.id = id;
  nic.bus = bus;
  nic.nic = TRY(describe_nic(interface, spec));
  return nic;
}

void hand_over(const GrantedInterface& interface, HotplugNic* nic) {
  for (const Fd& fd : interface.queues) nic->nic.fds.push_back(fd.get());
  for (const Fd& fd : interface.vhost) nic->nic.vhost_fds.push_back(fd.get());
}

// QEMU 7.2 without KVM crashes when a vhost-user device has MSI-X vectors (msix_set_vector_notifiers).
Result<bool> may_have_msix(Qmp& qmp, const AttachOptions& options) {
  if (!options.is_vhost_user) return true;
  return has_kvm(qmp);
}

Result<Plugged> get_nics(Qmp& qmp, const AttachOptions& options, const std::vector<std::string>& buses) {
  Plugged plugged;
  const bool has_msix = TRY(may_have_msix(qmp, options));
  plugged.granted = TRY(ask_for_all(options));
  for (size_t i = 0; i < plugged.granted.size(); ++i) {
    GrantedInterface& interface = plugged.granted[i];
    const std::string id = options.ids.empty() ? interface.grant.ifname : options.ids[i];
    HotplugNic nic = TRY(make_nic(interface, options.specs[i], id, buses[i]));
    if (options.ids.empty()) TRY(check_is_new(qmp, id));
    nic.has_msix = has_msix;
    if (options.is_vhost_user) {
      TRY(serve(&interface, &nic, &plugged));
    } else {
      hand_over(interface, &nic);
    }
    plugged.nics.push_back(std::move(nic));
  }
  return plugged;
}

void print(const HotplugNic& nic, const Grant& grant) {
  const std::string mac = to_string(nic.nic.guest_mac);
  printf("%s: %s", nic.id.c_str(), std::string(kind_name(grant.kind)).c_str());
  if (!grant.upper.empty()) printf(" on %s", grant.upper.c_str());
  printf(", interface %s, MAC %s, %zu queue%s", grant.ifname.c_str(), mac.c_str(), nic.nic.queues,
         nic.nic.queues == 1 ? "" : "s");
  if (!nic.nic.vhost_fds.empty()) printf(", vhost-net");
  if (!nic.nic.socket.empty()) printf(", vhost-user");
  if (!nic.bus.empty()) printf(", plugged into %s", nic.bus.c_str());
  printf("\n");
}

void add_json(const HotplugNic& nic, const Grant& grant, JsonWriter* writer) {
  const auto text_or_null = [&](const char* key, const std::string& value) {
    value.empty() ? writer->null(key) : writer->text(key, value);
  };
  writer->begin_object(nullptr);
  writer->text("id", nic.id);
  writer->text("kind", kind_name(grant.kind));
  writer->text("ifname", grant.ifname);
  writer->number("ifindex", grant.ifindex);
  text_or_null("upper", grant.upper);
  writer->text("mac", to_string(nic.nic.guest_mac));
  writer->number("mtu", grant.mtu);
  writer->number("queues", static_cast<int64_t>(nic.nic.queues));
  writer->number("vhost", static_cast<int64_t>(nic.nic.vhost_fds.size()));
  writer->boolean("vhost_user", !nic.nic.socket.empty());
  text_or_null("bus", nic.bus);
  writer->text("rule", grant.rule);
  writer->end_object();
}

void report(const AttachOptions& options, const std::vector<HotplugNic>& nics,
            const std::vector<GrantedInterface>& granted) {
  if (!options.has_json) {
    for (size_t i = 0; i < nics.size(); ++i) print(nics[i], granted[i].grant);
    return;
  }
  JsonWriter writer;
  writer.begin_array("nics");
  for (size_t i = 0; i < nics.size(); ++i) add_json(nics[i], granted[i].grant, &writer);
  writer.end_array();
  fputs(writer.take_line().c_str(), stdout);
}

Status attach(const AttachOptions& options) {
  Qmp qmp = TRY(connect_vm(options.vm));
  qmp.set_timeout_ms(kHotplugTimeoutMs);
  TRY(check_memory(qmp, options));
  for (const std::string& id : options.ids) TRY(check_is_new(qmp, id));
  const std::vector<std::string> buses = TRY(choose_buses(qmp, options));
  const Plugged plugged = TRY(get_nics(qmp, options, buses));
  TRY(attach_nics(qmp, plugged.nics));
  report(options, plugged.nics, plugged.granted);
  return {};
}

}  // namespace

int attach_command(int argc, char** argv) {
  const auto options = read_options(argc, argv);
  if (!options.is_ok()) return fail_usage("attach", options.error());
  const Status status = attach(options.value());
  return status.is_ok() ? kExitDone : fail(status.error());
}

}  // namespace tapferry
