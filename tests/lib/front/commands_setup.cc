// SPDX-License-Identifier: MIT
//
// Connecting, negotiating, memory, rings, the dirty log.
#include <unistd.h>

#include "tests/lib/front/command.h"
#include "tests/lib/front/feature_bits.h"

namespace tapferry::front {
namespace {

constexpr int64_t kDefaultMemory = 64 << 20;
constexpr int kConnectMs = 5000;

uint64_t bits_of(JsonObject* request, const char* key) {
  uint64_t bits = 0;
  JsonNode* node = json_object_get_member(request, key);
  JsonArray* names = node != nullptr && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : nullptr;
  for (guint i = 0; names != nullptr && i < json_array_get_length(names); ++i) {
    const std::string_view name = json_array_get_string_element(names, i);
    for (const FeatureName& feature : kFeatureNames) {
      if (feature.name == name) bits |= uint64_t{1} << feature.bit;
    }
  }
  return bits;
}

void tell_features(JsonWriter* answer, const char* key, uint64_t bits) {
  answer->begin_array(key);
  for (const FeatureName& feature : kFeatureNames) {
    if (bits >> feature.bit & 1) answer->text(nullptr, feature.name);
  }
  answer->end_array();
}

void tell_negotiated(const Guest& guest, JsonWriter* answer) {
  tell_features(answer, "offered", guest.offered());
  tell_features(answer, "features", guest.features());
  answer->number("protocol", static_cast<int64_t>(guest.protocol()));
  answer->number("queue_limit", static_cast<int64_t>(guest.queue_limit()));
}

Status make_guest(Session* session) {
  if (session->guest == nullptr) session->guest = TRY(Guest::make());
  return {};
}

// {"path"} connects; after "listen" it waits for a backend that does. {"timeout_ms"}
Status connect_command(Session* session, JsonObject* request, JsonWriter*) {
  TRY(make_guest(session));
  session->guest->disconnect();
  const int timeout_ms = static_cast<int>(number_of(request, "timeout_ms", kConnectMs));
  const std::string path = text_of(request, "path");
  if (path.empty()) {
    session->guest->connect(TRY(VhostClient::accept_from(session->listening.get(), timeout_ms)));
  } else {
    session->guest->connect(TRY(VhostClient::connect_to(path, timeout_ms)));
  }
  return {};
}

Status listen_command(Session* session, JsonObject* request, JsonWriter*) {
  session->listening = TRY(listen_on(text_of(request, "path")));
  return {};
}

Status disconnect_command(Session* session, JsonObject*, JsonWriter*) {
  session->guest->disconnect();
  return {};
}

Status is_closed_command(Session* session, JsonObject* request, JsonWriter* answer) {
  answer->boolean("closed",
                  session->guest->client().is_closed(static_cast<int>(number_of(request, "timeout_ms", 5000))));
  return {};
}

// {"gpa", "size", "offset"}: a region, also told to the backend if "tell". Without any, start makes one.
Status memory_command(Session* session, JsonObject* request, JsonWriter*) {
  TRY(make_guest(session));
  const auto gpa = static_cast<uint64_t>(number_of(request, "gpa", 0));
  const auto size = static_cast<uint64_t>(number_of(request, "size", kDefaultMemory));
  if (flag_of(request, "tell", false)) return session->guest->add_region(gpa, size);
  return session->guest->memory().add(gpa, size, static_cast<uint64_t>(number_of(request, "offset", 0)));
}

Status remove_memory_command(Session* session, JsonObject* request, JsonWriter*) {
  return session->guest->remove_region(static_cast<size_t>(number_of(request, "region", 0)));
}

// {"features": names, "protocol": number, "queues", "size", "enable"}
Status start_command(Session* session, JsonObject* request, JsonWriter* answer) {
  Guest& guest = *session->guest;
  if (guest.memory().regions().empty()) TRY(guest.memory().add(0, kDefaultMemory));
  GuestOptions options;
  options.features = bits_of(request, "features");
  options.protocol = static_cast<uint64_t>(number_of(request, "protocol", 0));
  options.pairs = static_cast<unsigned>(number_of(request, "queues", 1));
  options.ring_size = static_cast<unsigned>(number_of(request, "size", 256));
  options.indirect_entries = static_cast<unsigned>(number_of(request, "indirect_entries", 32));
  options.leaves_rings_alone = !flag_of(request, "enable", true);
  TRY(guest.start(options));
  tell_negotiated(guest, answer);
  return {};
}

// After another "connect": the same memory, rings and features. {"base"}: of each ring.
Status resume_command(Session* session, JsonObject* request, JsonWriter* answer) {
  std::optional<uint32_t> base;
  if (json_object_has_member(request, "base")) base = static_cast<uint32_t>(number_of(request, "base", 0));
  TRY(session->guest->resume(base));
  // What was made available while nobody looked is found by a kick (QEMU does so too).
  for (unsigned vring = 0; vring < session->guest->pair_count() * 2; ++vring) session->guest->kick(vring);
  tell_negotiated(*session->guest, answer);
  return {};
}

Status stop_command(Session* session, JsonObject* request, JsonWriter* answer) {
  const unsigned vring = TRY(vring_of(session, request));
  answer->number("base", TRY(session->guest->stop_vring(vring)));
  return {};
}

Status start_vring_command(Session* session, JsonObject* request, JsonWriter*) {
  const unsigned vring = TRY(vring_of(session, request));
  const uint32_t base = session->guest->ring(vring).resume_base();
  TRY(session->guest->start_vring(vring, static_cast<uint32_t>(number_of(request, "base", base))));
  session->guest->kick(vring);
  return {};
}

Status enable_command(Session* session, JsonObject* request, JsonWriter*) {
  const unsigned vring = TRY(vring_of(session, request));
  return session->guest->enable_vring(vring, flag_of(request, "on", true));
}

Status log_start_command(Session* session, JsonObject*, JsonWriter*) { return session->guest->start_log(); }
Status log_stop_command(Session* session, JsonObject*, JsonWriter*) { return session->guest->stop_log(); }
Status log_truncate_command(Session* session, JsonObject*, JsonWriter*) { return session->guest->truncate_log(); }

Status dirty_command(Session* session, JsonObject*, JsonWriter* answer) {
  answer->begin_array("pages");
  for (const uint64_t page : session->guest->take_dirty_pages()) answer->number(nullptr, static_cast<int64_t>(page));
  answer->end_array();
  return {};
}

// {"addresses", "outstanding", "fault"...} of a vring.
Status ring_command(Session* session, JsonObject* request, JsonWriter* answer) {
  const unsigned vring = TRY(vring_of(session, request));
  DriverRing& ring = session->guest->ring(vring);
  answer->number("desc", static_cast<int64_t>(ring.addresses().desc));
  answer->number("avail", static_cast<int64_t>(ring.addresses().avail));
  answer->number("used", static_cast<int64_t>(ring.addresses().used));
  answer->number("size", ring.size());
  answer->number("outstanding", static_cast<int64_t>(ring.outstanding()));
  answer->number("resume_base", ring.resume_base());
  answer->number("calls", static_cast<int64_t>(session->guest->calls(vring)));
  answer->text("fault", ring.fault());
  return {};
}

constexpr Command kCommands[] = {
    {"connect", connect_command, Needs::kNothing},
    {"listen", listen_command, Needs::kNothing},
    {"disconnect", disconnect_command, Needs::kConnection},
    {"is_closed", is_closed_command, Needs::kConnection},
    {"memory", memory_command, Needs::kNothing},
    {"remove_memory", remove_memory_command, Needs::kConnection},
    {"start", start_command, Needs::kConnection},
    {"resume", resume_command, Needs::kConnection},
    {"stop", stop_command, Needs::kConnection},
    {"start_vring", start_vring_command, Needs::kConnection},
    {"enable", enable_command, Needs::kConnection},
    {"log_start", log_start_command, Needs::kConnection},
    {"log_stop", log_stop_command, Needs::kConnection},
    {"dirty", dirty_command, Needs::kConnection},
    {"log_truncate", log_truncate_command, Needs::kConnection},
    {"ring", ring_command, Needs::kGuest},
};

}  // namespace

std::span<const Command> setup_commands() { return kCommands; }

}  // namespace tapferry::front
