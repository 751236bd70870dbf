// SPDX-License-Identifier: MIT
#include "tools/hotplug_machine.h"

#include <algorithm>
#include <string_view>

#include "tools/json.h"

namespace tapferry {
namespace {

constexpr const char* kNamed = "/machine/peripheral";         // devices with an id
constexpr const char* kUnnamed = "/machine/peripheral-anon";  // and without

// Types whose secondary bus is one hot-plug slot (hw/pci-bridge in QEMU).
constexpr std::string_view kPortTypes[] = {"pcie-root-port", "ioh3420", "xio3130-downstream"};

struct Property {
  std::string name;
  std::string type;  // "child<TYPE>" for an object below, "bool", ...

  bool is_child() const { return type.starts_with("child<"); }
};

std::string path_argument(const std::string& path) {
  JsonWriter arguments;
  arguments.text("path", path);
  return arguments.take_line();
}

Result<std::vector<Property>> list(Qmp& qmp, const std::string& path) {
  const JsonTree tree = TRY(qmp.execute("qom-list", path_argument(path)));
  std::vector<Property> properties;
  if (!JSON_NODE_HOLDS_ARRAY(tree.get())) return properties;
  JsonArray* array = json_node_get_array(tree.get());
  for (guint i = 0; i < json_array_get_length(array); ++i) {
    JsonNode* element = json_array_get_element(array, i);
    if (!JSON_NODE_HOLDS_OBJECT(element)) continue;
    JsonObject* object = json_node_get_object(element);
    properties.push_back({text_member(object, "name"), text_member(object, "type")});
  }
  return properties;
}

// Null when the object has no such property.
Result<JsonTree> get(Qmp& qmp, const std::string& path, const char* property) {
  JsonWriter arguments;
  arguments.text("path", path);
  arguments.text("property", property);
  auto value = qmp.execute("qom-get", arguments.take_line());
  if (!value.is_ok() && Qmp::is_refusal(value.error())) return JsonTree();
  return value;
}

bool is_port(const Property& property) {
  return std::any_of(std::begin(kPortTypes), std::end(kPortTypes),
                     [&](std::string_view type) { return property.type == "child<" + std::string(type) + ">"; });
}

bool is_true(const JsonTree& tree) {
  return tree != nullptr && JSON_NODE_HOLDS_VALUE(tree.get()) && json_node_get_boolean(tree.get()) != FALSE;
}

// The name of the port's bus, if nothing is on it and something may come.
Result<std::optional<std::string>> free_bus(Qmp& qmp, const std::string& port) {
  if (!is_true(TRY(get(qmp, port, "hotplug")))) return std::optional<std::string>();
  for (const Property& bus : TRY(list(qmp, port))) {
    if (bus.type != "child<PCIE>") continue;
    const auto inside = TRY(list(qmp, port + "/" + bus.name));
    const bool is_taken = std::any_of(inside.begin(), inside.end(),
                                      [](const Property& property) { return property.name.starts_with("child["); });
    if (!is_taken) return std::optional(bus.name);
  }
  return std::optional<std::string>();
}

}  // namespace

std::string path_of_device(const std::string& id) { return std::string(kNamed) + "/" + id; }

Result<std::vector<std::string>> free_ports(Qmp& qmp) {
  std::vector<std::string> buses;
  for (const char* container : {kNamed, kUnnamed}) {
    for (const Property& property : TRY(list(qmp, container))) {
      if (!is_port(property)) continue;
      const auto bus = TRY(free_bus(qmp, std::string(container) + "/" + property.name));
      if (bus) buses.push_back(*bus);
    }
  }
  // "pci.10" before "pci.9": libvirt takes the first that is free, and doesn't know of what others plugged in.
  std::sort(buses.begin(), buses.end(),
            [](const std::string& a, const std::string& b) { return std::pair(a.size(), a) > std::pair(b.size(), b); });
  return buses;
}

Result<bool> has_shared_memory(Qmp& qmp) {
  const JsonTree tree = TRY(qmp.execute("query-memdev"));
  if (!JSON_NODE_HOLDS_ARRAY(tree.get())) return false;
  JsonArray* array = json_node_get_array(tree.get());
  for (guint i = 0; i < json_array_get_length(array); ++i) {
    JsonNode* element = json_array_get_element(array, i);
    if (!JSON_NODE_HOLDS_OBJECT(element)) continue;
    JsonNode* share = json_object_get_member(json_node_get_object(element), "share");
    if (share != nullptr && JSON_NODE_HOLDS_VALUE(share) && json_node_get_boolean(share) != FALSE) return true;
  }
  return false;
}

Result<bool> has_kvm(Qmp& qmp) {
  const JsonTree tree = TRY(qmp.execute("query-kvm"));
  if (!JSON_NODE_HOLDS_OBJECT(tree.get())) return false;
  JsonNode* enabled = json_object_get_member(json_node_get_object(tree.get()), "enabled");
  return enabled != nullptr && JSON_NODE_HOLDS_VALUE(enabled) && json_node_get_boolean(enabled) != FALSE;
}

Result<bool> has_device(Qmp& qmp, const std::string& id) {
  const auto devices = TRY(list(qmp, kNamed));
  return std::any_of(devices.begin(), devices.end(),
                     [&](const Property& device) { return device.is_child() && device.name == id; });
}

Result<std::string> device_of_netdev(Qmp& qmp, const std::string& netdev) {
  for (const char* container : {kNamed, kUnnamed}) {
    for (const Property& device : TRY(list(qmp, container))) {
      if (!device.is_child()) continue;
      const std::string path = std::string(container) + "/" + device.name;
      const JsonTree value = TRY(get(qmp, path, "netdev"));
      const bool is_text = value != nullptr && JSON_NODE_HOLDS_VALUE(value.get()) &&
                           json_node_get_value_type(value.get()) == G_TYPE_STRING;
      if (is_text && json_node_get_string(value.get()) == netdev) return path;
    }
  }
  return std::string();
}

}  // namespace tapferry
