// SPDX-License-Identifier: MIT
#include "tools/hotplug.h"

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <poll.h>

#include "tools/hotplug_machine.h"
#include "tools/json.h"
#include "tools/stop_signals.h"

namespace tapferry {
namespace {

// A guest that has just got a device may take some seconds until it can give it back.
constexpr int kUndoTimeoutMs = 20000;

constexpr const char* kNoSlotHint =
    "the VM needs a free pcie-root-port (-device pcie-root-port,id=rp1,chassis=1), which --bus= can name";
constexpr const char* kTakenHint = "give another one by --id=, or remove it: tapferry detach";

constexpr const char* kReachHint = "QEMU has to reach the socket: --vhost-user works for the user that QEMU runs as";

// QEMU's errors are told apart by nothing but their words; what is told apart here are hints.
bool has_any(const Error& error, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(),
                     [&](const char* word) { return error.reason().find(word) != std::string::npos; });
}

Error about(const char* action, const std::string& id, const Error& error) {
  Error whole(action, id, error.line());
  if (has_any(error, {"Duplicate", "duplicate"})) return std::move(whole).with_hint(kTakenHint);
  if (error.object() == "chardev-add" && has_any(error, {"Permission denied"})) {
    return std::move(whole).with_hint(kReachHint);
  }
  const bool has_no_slot = has_any(error, {"does not support hotplugging", "available", "occupied", "in use"});
  if (error.object() == "device_add" && has_no_slot) return std::move(whole).with_hint(kNoSlotHint);
  return whole;
}

// Asks the guest to let go of the device, and waits until it has. A request that is under way already is waited for, too.
Status unplug(Qmp& qmp, const std::string& id, int timeout_ms) {
  bool is_gone = false;
  bool is_refused = false;
  qmp.on_event([&](JsonObject* event) {
    if (text_member(object_member(event, "data"), "device") != id) return;
    is_gone = is_gone || text_member(event, "event") == "DEVICE_DELETED";
    is_refused = is_refused || text_member(event, "event") == "DEVICE_UNPLUG_GUEST_ERROR";
  });
  const QmpCommand command = delete_device(id);
  auto asked = qmp.execute(command.name, command.arguments);
  Status waited;
  if (asked.is_ok() || has_any(asked.error(), {"in the process of unplug"})) {
    waited = qmp.listen_until([&] { return is_gone || is_refused; }, timeout_ms);
  } else {
    waited = std::move(asked).error();
  }
  qmp.on_event(nullptr);
  if (!waited.is_ok() && waited.error().code() == ETIMEDOUT) {
    return Error::from_errno("detach", id, ETIMEDOUT)
        .with_reason("the guest has not let go of it within " + std::to_string(timeout_ms / 1000) + " s")
        .with_hint("does it run, and has it a driver for PCI hot-plug? Doing it again goes on waiting");
  }
  TRY(std::move(waited));
  if (is_refused) return Error("detach", id, "the guest refuses to let go of it");
  return {};
}

// Whether there was something to delete.
Result<bool> remove(Qmp& qmp, const QmpCommand& command) {
  auto removed = qmp.execute(command.name, command.arguments);
  if (removed.is_ok()) return true;
  if (Qmp::is_refusal(removed.error())) return false;
  return std::move(removed).error();
}

// What QEMU keeps for the id besides the device. QEMU knows names of descriptors only on the socket that they came by.
Result<bool> remove_backend(Qmp& qmp, const std::string& id) {
  const bool had_netdev = TRY(remove(qmp, delete_netdev(id)));
  const bool had_chardev = TRY(remove(qmp, delete_chardev(id)));
  const bool had_lifeline = TRY(remove(qmp, close_descriptor(lifeline_name(id))));
  if (had_chardev && !had_lifeline) {
    return Error("detach", id, "the guest has let go of it, but its tapferry-vhost will end with the VM only")
        .with_hint("detach by the QMP socket that attach used");
  }
  bool found = had_netdev || had_chardev || had_lifeline;
  for (const char* kind : {"tap", "vhost"}) {
    for (size_t i = 0; TRY(remove(qmp, close_descriptor(descriptor_name(id, kind, i)))); ++i) found = true;
  }
  return found;
}

class Attachment {
 public:
  explicit Attachment(Qmp* qmp) : qmp_(*qmp) {}

  Status apply(const std::string& id, const HotplugStep& step) {
    pollfd polled = {signals_.fd(), POLLIN, 0};
    if (poll(&polled, 1, 0) > 0) return Error::from_errno("attach", id, EINTR);
    auto done = step.fd < 0 ? qmp_.execute(step.command.name, step.command.arguments)
                            : qmp_.execute(step.command.name, step.command.arguments, {&step.fd, 1});
    // Without an answer nobody knows whether it was done.
    if (done.is_ok() || !Qmp::is_refusal(done.error())) undo_.push_back({id, step.undo});
    if (!done.is_ok()) return about("attach", id, done.error());
    return {};
  }

  // The latest first. Most of it has no effect: a netdev has taken its descriptors' names away.
  Status undo() {
    Status all;
    for (; !undo_.empty() && !qmp_.has_ended(); undo_.pop_back()) {
      const auto& [id, command] = undo_.back();
      if (command == delete_device(id)) {
        Status gone = unplug(qmp_, id, kUndoTimeoutMs);
        if (!gone.is_ok() && !Qmp::is_refusal(gone.error()) && all.is_ok()) all = std::move(gone);
      } else {
        (void)qmp_.execute(command.name, command.arguments).is_ok();
      }
    }
    return all;
  }

 private:
  Qmp& qmp_;
  StopSignals signals_;
  std::vector<std::pair<std::string, QmpCommand>> undo_;
};

Status apply_all(Attachment* attachment, std::span<const HotplugNic> nics) {
  for (const HotplugNic& nic : nics) {
    for (const HotplugStep& step : plan_netdev(nic)) TRY(attachment->apply(nic.id, step));
  }
  for (const HotplugNic& nic : nics) TRY(attachment->apply(nic.id, plan_device(nic)));
  return {};
}

}  // namespace

Status attach_nics(Qmp& qmp, std::span<const HotplugNic> nics) {
  Attachment attachment(&qmp);
  Status done = apply_all(&attachment, nics);
  if (done.is_ok()) return done;
  const Status undone = attachment.undo();
  if (undone.is_ok()) return done;
  return std::move(done).error().with_detail("then: " + undone.error().line());
}

Status detach_nic(Qmp& qmp, const std::string& id, int timeout_ms) {
  const std::string own_path = path_of_device(id);
  const std::string path = TRY(device_of_netdev(qmp, id));
  if (!path.empty() && path != own_path) {
    return Error("detach", id, "it is the netdev of " + path + ", which tapferry did not attach");
  }
  if (path.empty() && TRY(has_device(qmp, id))) {
    return Error("detach", id, "it is a device that tapferry did not attach");
  }
  if (!path.empty()) TRY(unplug(qmp, id, timeout_ms));
  const bool had_backend = TRY(remove_backend(qmp, id));
  if (path.empty() && !had_backend) return Error("detach", id, "the VM has no such NIC");
  return {};
}

}  // namespace tapferry
