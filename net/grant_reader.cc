// SPDX-License-Identifier: MIT
//
// json-glib 1.6 takes more than JSON (comments, `var x = ...`, several roots, a key twice), so a pass over the text
// comes first that lets only the tokens of one flat object through.
#include "net/grant_reader.h"

#include <json-glib/json-glib.h>
#include <set>

#include "base/fd_pass.h"
#include "base/parse.h"
#include "net/ovs.h"

namespace tapferry {
namespace {

Error flaw(std::string_view reason) { return Error("read", "the grant record", reason); }

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The length of the string token at the front of `text`, 0 if it isn't one.
size_t string_length(std::string_view text) {
  for (size_t i = 1; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') return i + 1;
    if (static_cast<unsigned char>(c) < 0x20) return 0;
    if (c != '\\') continue;
    ++i;
    // A zero would end the string early in everything written in C.
    if (i >= text.size() || text.substr(i).starts_with("u0000")) return 0;
    if (std::string_view("\"\\/bfnrtu").find(text[i]) == std::string_view::npos) return 0;
  }
  return 0;
}

// The length of the token at the front of `text` inside an object, 0 if there is none that a flat object can have.
size_t token_length(std::string_view text) {
  if (std::string_view(" \t:,").find(text[0]) != std::string_view::npos) return 1;
  if (text[0] == '"') return string_length(text);
  for (const std::string_view word : {"true", "false", "null"}) {
    if (text.starts_with(word)) return word.size();
  }
  const size_t digits_at = text[0] == '-' ? 1 : 0;
  size_t end = digits_at;
  while (end < text.size() && is_digit(text[end])) ++end;
  if (end == digits_at || end - digits_at > 18) return 0;
  if (text[digits_at] == '0' && end > digits_at + 1) return 0;
  return end;
}

Status check_tokens(std::string_view bytes) {
  if (bytes.size() > kMaxPassedBytes) return flaw("too long");
  if (!bytes.ends_with('\n')) return flaw("it has no newline at its end");
  bytes.remove_suffix(1);
  if (!g_utf8_validate_len(bytes.data(), bytes.size(), nullptr)) return flaw("not UTF-8");
  if (!bytes.starts_with('{') || !bytes.ends_with('}')) return flaw("not one JSON object and a newline");
  bytes = bytes.substr(1, bytes.size() - 2);
  while (!bytes.empty()) {
    const size_t length = token_length(bytes);
    if (length == 0) return flaw("not a flat JSON object");
    bytes.remove_prefix(length);
  }
  return {};
}

struct SeenKeys {
  std::set<std::string> names;
  bool has_duplicate = false;
};

void on_member(JsonParser*, JsonObject*, const char* name, gpointer data) {
  auto* seen = static_cast<SeenKeys*>(data);
  if (!seen->names.insert(name).second) seen->has_duplicate = true;
}

// The keys of one object by type; each key that was asked for is checked off.
class Reader {
 public:
  explicit Reader(JsonObject* object) : object_(object) {}

  Result<std::string> text(const char* key) {
    JsonNode* node = TRY(value_of(key, G_TYPE_STRING, "a string"));
    const char* value = json_node_get_string(node);
    // A lone surrogate escape gives bytes that are no text.
    if (!g_utf8_validate(value, -1, nullptr)) return flaw(std::string(key) + " isn't text");
    return std::string(value);
  }

  Result<std::string> text_or_null(const char* key) {
    JsonNode* node = json_object_get_member(object_, key);
    if (node == nullptr || !JSON_NODE_HOLDS_NULL(node)) return text(key);
    ++used_;
    return std::string();
  }

  Result<bool> boolean(const char* key) {
    return json_node_get_boolean(TRY(value_of(key, G_TYPE_BOOLEAN, "true or false"))) != FALSE;
  }

  Result<unsigned> number(const char* key, int64_t low, int64_t high) {
    const int64_t value = json_node_get_int(TRY(value_of(key, G_TYPE_INT64, "a whole number")));
    if (value < low || value > high) {
      return flaw(std::string(key) + " is not from " + std::to_string(low) + " to " + std::to_string(high));
    }
    return static_cast<unsigned>(value);
  }

  bool has_used_all() const { return used_ == json_object_get_size(object_); }

 private:
  Result<JsonNode*> value_of(const char* key, GType type, const char* expected) {
    JsonNode* node = json_object_get_member(object_, key);
    if (node == nullptr) return flaw(std::string(key) + " is missing");
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != type) {
      return flaw(std::string(key) + " is not " + expected);
    }
    ++used_;
    return node;
  }

  JsonObject* object_;
  unsigned used_ = 0;
};

Result<std::string> interface_name(const char* key, std::string name) {
  if (!is_interface_name(name)) return flaw(std::string(key) + " can't be an interface's name");
  return name;
}

Status read_names(Reader* reader, Grant* grant) {
  const auto kind = parse_kind(TRY(reader->text("kind")));
  if (!kind) return flaw("kind is none of bridge, tap, macvtap, device");
  grant->kind = *kind;
  grant->ifname = TRY(interface_name("ifname", TRY(reader->text("ifname"))));
  grant->ifindex = static_cast<int>(TRY(reader->number("ifindex", 1, INT32_MAX)));
  grant->upper = TRY(reader->text_or_null("upper"));
  const auto ovs = grant->kind == Kind::kBridge ? ovs_bridge(grant->upper) : std::nullopt;
  if (!grant->upper.empty()) TRY(interface_name("upper", std::string(ovs.value_or(grant->upper))));
  if (grant->kind == Kind::kBridge && grant->upper.empty()) return flaw("upper is not the bridge");
  grant->rule = TRY(reader->text("rule"));
  return {};
}

Status read_queues(Reader* reader, Grant* grant) {
  grant->queues = TRY(reader->number("queues", 1, kMaxQueues));
  grant->vhost = TRY(reader->number("vhost", 0, kMaxQueues));
  if (grant->vhost != 0 && grant->vhost != grant->queues) return flaw("vhost is neither 0 nor queues");
  grant->vnet_hdr = TRY(reader->boolean("vnet_hdr"));
  grant->vnet_hdr_sz = TRY(reader->number("vnet_hdr_sz", 0, 12));
  const bool is_known = grant->vnet_hdr_sz == 10 || grant->vnet_hdr_sz == 12;
  if (grant->vnet_hdr ? !is_known : grant->vnet_hdr_sz != 0) return flaw("vnet_hdr_sz doesn't fit vnet_hdr");
  return {};
}

Status read_link_state(Reader* reader, Grant* grant) {
  const auto mac = parse_mac(TRY(reader->text("mac")));
  if (!mac) return flaw("mac is no MAC address");
  grant->mac = *mac;
  grant->mtu = TRY(reader->number("mtu", kMinMtu, kMaxMtu));
  grant->up = TRY(reader->boolean("up"));
  return {};
}

}  // namespace

Result<Grant> read_grant(std::string_view bytes) {
  TRY(check_tokens(bytes));
  g_autoptr(JsonParser) parser = json_parser_new();
  SeenKeys seen;
  g_signal_connect(parser, "object-member", G_CALLBACK(on_member), &seen);
  g_autoptr(GError) error = nullptr;
  if (!json_parser_load_from_data(parser, bytes.data(), static_cast<gssize>(bytes.size()), &error)) {
    return flaw("not JSON").with_detail(error->message);
  }
  if (seen.has_duplicate) return flaw("it has a key twice");
  JsonNode* root = json_parser_get_root(parser);
  if (root == nullptr || !JSON_NODE_HOLDS_OBJECT(root)) return flaw("not a JSON object");
  Reader reader(json_node_get_object(root));
  const unsigned version = TRY(reader.number("version", 0, INT32_MAX));
  if (version != 1) {
    return flaw("its version is " + std::to_string(version) + ", and this program knows version 1");
  }
  Grant grant;
  TRY(read_names(&reader, &grant));
  TRY(read_queues(&reader, &grant));
  TRY(read_link_state(&reader, &grant));
  if (!reader.has_used_all()) return flaw("it has a key that version 1 doesn't have");
  return grant;
}

}  // namespace tapferry
