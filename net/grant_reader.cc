// SPDX-License-Identifier: MIT
#include "net/grant_reader.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/fd_pass.h"
#include "base/parse.h"
#include "net/json_object.h"
#include "net/ovs.h"

namespace tapferry {
namespace {

Error flaw(std::string_view reason) { return Error("read", "the grant record", reason); }

// The keys of one object by type; each key that was asked for is counted.
class Reader {
 public:
  explicit Reader(const Json* object) : object_(object) {}

  Result<std::string> text(const char* key) {
    const Json* value = TRY(value_of(key, &Json::is_string, "a string"));
    return value->get<std::string>();
  }

  Result<std::string> text_or_null(const char* key) {
    const Json* value = find_member(object_, key);
    if (value == nullptr || !value->is_null()) return text(key);
    ++used_;
    return std::string();
  }

  Result<bool> boolean(const char* key) {
    const Json* value = TRY(value_of(key, &Json::is_boolean, "true or false"));
    return value->get<bool>();
  }

  Result<unsigned> number(const char* key, unsigned low, unsigned high) {
    const Json* value = TRY(value_of(key, &Json::is_number_integer, "a whole number"));
    // What isn't negative is unsigned there.
    const auto* number = value->get_ptr<const Json::number_unsigned_t*>();
    if (number == nullptr || *number < low || *number > high) {
      return flaw(std::string(key) + " is not from " + std::to_string(low) + " to " + std::to_string(high));
    }
    return static_cast<unsigned>(*number);
  }

  bool has_used_all() const { return used_ == object_->size(); }

 private:
  Result<const Json*> value_of(const char* key, bool (Json::*is_expected)() const noexcept, const char* expected) {
    const Json* value = find_member(object_, key);
    if (value == nullptr) return flaw(std::string(key) + " is missing");
    if (!(value->*is_expected)()) return flaw(std::string(key) + " is not " + expected);
    ++used_;
    return value;
  }

  const Json* object_;
  size_t used_ = 0;
};

// One line: a newline at its end, and no other control character but tabs.
Status check_line(std::string_view bytes) {
  if (bytes.size() > kMaxPassedBytes) return flaw("too long");
  if (!bytes.ends_with('\n')) return flaw("it has no newline at its end");
  bytes.remove_suffix(1);
  if (!bytes.starts_with('{') || !bytes.ends_with('}')) return flaw("not one JSON object and a newline");
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\t'; };
  if (std::any_of(bytes.begin(), bytes.end(), is_control)) return flaw("not one JSON object and a newline");
  return {};
}

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
  TRY(check_line(bytes));
  const Result<Json> record = parse_json_object(bytes, 1);
  if (!record.is_ok()) return flaw(record.error().reason());
  Reader reader(&record.value());
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
