// SPDX-License-Identifier: MIT
#include "broker/varlink.h"

#include <cerrno>

#include "broker/json_text.h"

namespace tapferry {
namespace {

Error flaw(std::string_view reason) { return Error("read", "a call", reason); }

std::string to_message(JsonObject* root) {
  JsonNode* node = json_node_alloc();
  json_node_init_object(node, root);
  g_autofree char* text = json_to_string(node, FALSE);
  json_node_unref(node);
  json_object_unref(root);
  std::string message = text;
  message += '\0';
  return message;
}

// A member that is true, false, or not there.
Result<bool> flag(JsonObject* object, const char* name) {
  JsonNode* node = json_object_get_member(object, name);
  if (node == nullptr || JSON_NODE_HOLDS_NULL(node)) return false;
  if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_BOOLEAN) {
    return flaw(std::string(name) + " is not true or false");
  }
  return json_node_get_boolean(node) != FALSE;
}

bool is_text(JsonNode* node) {
  return node != nullptr && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING &&
         // A lone surrogate escape gives bytes that are no text.
         g_utf8_validate(json_node_get_string(node), -1, nullptr);
}

}  // namespace

std::string Call::interface() const { return method.substr(0, method.rfind('.')); }

std::string Call::member() const {
  const size_t dot = method.rfind('.');
  return dot == std::string::npos ? method : method.substr(dot + 1);
}

Status MessageReader::add(std::string_view bytes) {
  buffer_ += bytes;
  // Whole messages are taken out one by one, so only the first is looked at.
  const size_t end = buffer_.find('\0');
  const size_t length = end == std::string::npos ? buffer_.size() : end;
  if (length > kMaxCallBytes) return Error::from_errno("read", "a call", EMSGSIZE);
  return {};
}

std::optional<std::string> MessageReader::take() {
  const size_t end = buffer_.find('\0');
  if (end == std::string::npos) return std::nullopt;
  std::string message = buffer_.substr(0, end);
  buffer_.erase(0, end + 1);
  return message;
}

Result<Call> parse_call(std::string_view text) {
  if (text.size() > kMaxCallBytes) return flaw("too long");
  TRY(check_json_text(text));
  g_autoptr(JsonParser) parser = json_parser_new();
  g_autoptr(GError) error = nullptr;
  if (!json_parser_load_from_data(parser, text.data(), static_cast<gssize>(text.size()), &error)) {
    return flaw("not JSON");
  }
  JsonNode* root = json_parser_get_root(parser);
  if (root == nullptr || !JSON_NODE_HOLDS_OBJECT(root)) return flaw("not a JSON object");
  JsonObject* object = json_node_get_object(root);
  JsonNode* method = json_object_get_member(object, "method");
  if (!is_text(method)) return flaw("it names no method");
  Call call;
  call.method = json_node_get_string(method);
  call.is_oneway = TRY(flag(object, "oneway"));
  call.has_upgrade = TRY(flag(object, "upgrade"));
  TRY(flag(object, "more"));
  JsonNode* parameters = json_object_get_member(object, "parameters");
  if (parameters == nullptr || JSON_NODE_HOLDS_NULL(parameters)) {
    call.parameters.reset(json_object_new());
  } else if (JSON_NODE_HOLDS_OBJECT(parameters)) {
    call.parameters.reset(json_object_ref(json_node_get_object(parameters)));
  } else {
    return flaw("parameters is not an object");
  }
  return call;
}

Result<std::string> string_parameter(const Call& call, const std::string& name) {
  JsonNode* node = json_object_get_member(call.parameters.get(), name.c_str());
  if (!is_text(node)) return Error("read", name, "not a string");
  return std::string(json_node_get_string(node));
}

Status check_parameters(const Call& call, const char* known) {
  GList* members = json_object_get_members(call.parameters.get());
  std::optional<std::string> other;
  for (GList* member = members; member != nullptr; member = member->next) {
    const char* name = static_cast<const char*>(member->data);
    if (known == nullptr || std::string_view(name) != known) other = name;
  }
  g_list_free(members);
  if (other) return Error("read", *other, "no parameter of this method");
  return {};
}

std::string reply_message(JsonObject* parameters) {
  JsonObject* root = json_object_new();
  json_object_set_object_member(root, "parameters", parameters);
  return to_message(root);
}

std::string error_message(const std::string& error, const std::string& parameter, const std::string& value) {
  JsonObject* parameters = json_object_new();
  if (!parameter.empty()) json_object_set_string_member(parameters, parameter.c_str(), value.c_str());
  JsonObject* root = json_object_new();
  json_object_set_string_member(root, "error", error.c_str());
  json_object_set_object_member(root, "parameters", parameters);
  return to_message(root);
}

}  // namespace tapferry
