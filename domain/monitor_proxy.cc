// SPDX-License-Identifier: MIT
#include "domain/monitor_proxy.h"

#include <cerrno>
#include <json-glib/json-glib.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>

#include "base/fd_pass.h"
#include "base/syscall.h"

namespace tapferry {
namespace {

constexpr size_t kMaxLine = 1 << 20;
constexpr const char* kGreeting = "{\"QMP\":{\"version\":{},\"capabilities\":[]}}";

Error libvirt_error(const char* action, const std::string& object) {
  const char* words = virGetLastErrorMessage();
  return {action, object, words != nullptr ? words : "it failed"};
}

std::string to_text(JsonNode* node) {
  g_autofree char* text = json_to_string(node, FALSE);
  return text;
}

std::string text_of(JsonObject* object, const char* key) {
  JsonNode* node = json_object_get_member(object, key);
  const bool is_text =
      node != nullptr && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING;
  return is_text ? json_node_get_string(node) : "";
}

// An answer, whatever it is, with the client's id.
std::string with_id(JsonObject* answer, const std::string& id) {
  json_object_set_string_member(answer, "id", id.c_str());
  g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
  json_node_set_object(node, answer);
  return to_text(node);
}

std::string failure(const std::string& words, const std::string& id) {
  g_autoptr(JsonObject) error = json_object_new();
  json_object_set_string_member(error, "class", "Libvirt");
  json_object_set_string_member(error, "desc", words.c_str());
  g_autoptr(JsonObject) answer = json_object_new();
  json_object_set_object_member(answer, "error", json_object_ref(error));
  return with_id(answer, id);
}

// Null unless it is an object.
JsonNode* parse_object(const std::string& text) {
  JsonNode* node = json_from_string(text.c_str(), nullptr);
  if (node != nullptr && JSON_NODE_HOLDS_OBJECT(node)) return node;
  if (node != nullptr) json_node_unref(node);
  return nullptr;
}

}  // namespace

Result<ConnectedDomain> connect_domain(const std::string& uri, const std::string& name) {
  virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});  // what there is to say is said once, by us
  if (virEventRegisterDefaultImpl() != 0) return libvirt_error("start", "libvirt's event loop");
  ConnectedDomain connected;
  connected.connection.reset(virConnectOpen(uri.empty() ? nullptr : uri.c_str()));
  if (connected.connection == nullptr) return libvirt_error("connect to", uri.empty() ? "libvirt" : uri);
  connected.domain.reset(virDomainLookupByName(connected.connection.get(), name.c_str()));
  if (connected.domain == nullptr) return libvirt_error("find domain", name);
  const int is_active = virDomainIsActive(connected.domain.get());
  if (is_active < 0) return libvirt_error("look at domain", name);
  if (is_active == 0) return Error("attach to domain", name, "it doesn't run");
  return connected;
}

Status MonitorProxy::listen() {
  virConnect* connection = connected_.connection.get();
  virDomain* domain = connected_.domain.get();
  const char* name = virDomainGetName(domain);
  if (virConnectDomainQemuMonitorEventRegister(connection, domain, nullptr, on_qemu_event, this, nullptr, 0) < 0 ||
      virConnectDomainEventRegisterAny(connection, domain, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                       VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), this, nullptr) < 0) {
    return libvirt_error("hear of the events of domain", name);
  }
  // Not every driver has it; without it a lost libvirtd is seen at the next command.
  (void)virConnectRegisterCloseCallback(connection, on_close, this, nullptr);
  const auto on_socket = [](int, int, int, void* self) { static_cast<MonitorProxy*>(self)->see_socket(); };
  const int events = VIR_EVENT_HANDLE_READABLE | VIR_EVENT_HANDLE_HANGUP | VIR_EVENT_HANDLE_ERROR;
  if (virEventAddHandle(socket_.get(), events, on_socket, this, nullptr) < 0) {
    return libvirt_error("wait for", "the client");
  }
  return {};
}

Status MonitorProxy::run() {
  TRY(listen());
  send(kGreeting);
  while (!is_over_) {
    if (virEventRunDefaultImpl() < 0) return libvirt_error("run", "libvirt's event loop");
  }
  return {};
}

void MonitorProxy::see_socket() {
  auto received = receive_with_fds(socket_.get(), 65536);
  if (!received.is_ok() && received.error().code() == EAGAIN) return;
  if (!received.is_ok() || received.value().bytes.empty() || unread_.size() > kMaxLine) {
    is_over_ = true;
    return;
  }
  unread_ += received.value().bytes;
  for (Fd& fd : received.value().fds) fds_.push_back(std::move(fd));
  for (size_t end; !is_over_ && (end = unread_.find('\n')) != std::string::npos;) {
    const std::string line = unread_.substr(0, end);
    unread_.erase(0, end + 1);
    execute(line);
  }
}

void MonitorProxy::execute(const std::string& line) {
  g_autoptr(JsonNode) node = parse_object(line);
  if (node == nullptr) {
    is_over_ = true;
    return;
  }
  JsonObject* command = json_node_get_object(node);
  const std::string id = text_of(command, "id");
  json_object_remove_member(command, "id");  // libvirt adds its own
  if (text_of(command, "execute") == "qmp_capabilities") {
    g_autoptr(JsonObject) answer = json_object_new();
    json_object_set_object_member(answer, "return", json_object_new());
    return send(with_id(answer, id));
  }
  send(ask_qemu(to_text(node), id));
  fds_.clear();
}

std::string MonitorProxy::ask_qemu(const std::string& command, const std::string& id) {
  std::vector<int> numbers;
  for (const Fd& fd : fds_) numbers.push_back(fd.get());
  char* result = nullptr;
  const int status = virDomainQemuMonitorCommandWithFiles(connected_.domain.get(), command.c_str(),
                                                          static_cast<unsigned>(numbers.size()), numbers.data(),
                                                          nullptr, nullptr, &result, 0);
  if (status < 0) return failure(virGetLastErrorMessage(), id);
  g_autoptr(JsonNode) answer = parse_object(result);
  free(result);
  if (answer == nullptr) return failure("libvirt's answer is no JSON object", id);
  return with_id(json_node_get_object(answer), id);
}

void MonitorProxy::send(const std::string& line) {
  if (!write_all(socket_.get(), line + "\n", "the client").is_ok()) is_over_ = true;
}

void MonitorProxy::on_qemu_event(virConnectPtr, virDomainPtr, const char* event, long long, unsigned,
                                 const char* details, void* self) {
  g_autoptr(JsonObject) object = json_object_new();
  json_object_set_string_member(object, "event", event);
  if (JsonNode* data = details != nullptr ? parse_object(details) : nullptr)
    json_object_set_member(object, "data", data);
  g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
  json_node_set_object(node, object);
  static_cast<MonitorProxy*>(self)->send(to_text(node));
}

void MonitorProxy::on_lifecycle(virConnectPtr, virDomainPtr, int event, int, void* self) {
  const bool has_ended = event == VIR_DOMAIN_EVENT_STOPPED || event == VIR_DOMAIN_EVENT_CRASHED;
  if (has_ended) static_cast<MonitorProxy*>(self)->is_over_ = true;
}

void MonitorProxy::on_close(virConnectPtr, int, void* self) { static_cast<MonitorProxy*>(self)->is_over_ = true; }

}  // namespace tapferry
