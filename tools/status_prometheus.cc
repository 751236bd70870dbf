// SPDX-License-Identifier: MIT
//
// Interfaces in the text exposition format of Prometheus: every metric once, with its HELP and TYPE, and below it a sample
// for each interface that has one. https://prometheus.io/docs/instrumenting/exposition_formats/

#include <glib.h>

#include "base/text.h"
#include "tools/status.h"

namespace tapferry {
namespace {

// A label's value: UTF-8, with backslash, quotation mark and line feed escaped.
std::string label(const char* name, const std::string& value) {
  const bool is_utf8 = g_utf8_validate_len(value.data(), value.size(), nullptr) != FALSE;
  std::string text;
  for (const char c : is_utf8 ? value : escape(value)) {
    if (c == '\\' || c == '"') text += '\\';
    text += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return std::string(name) + "=\"" + text + "\"";
}

std::string labels_of(const InterfaceStatus& one) {
  return label("interface", one.link.name) + "," + label("user", one.user) + "," + label("kind", one.kind) + "," +
         label("upper", one.upper);
}

std::string info_labels(const InterfaceStatus& one) {
  return labels_of(one) + "," + label("uid", one.uid ? std::to_string(*one.uid) : "") + "," +
         label("mac", to_string(one.link.mac)) + "," + label("rule", one.tag ? one.tag->rule : "");
}

using Value = std::optional<uint64_t>;

struct Metric {
  const char* name;  // behind tapferry_interface_
  const char* type;
  const char* help;
  Value (*value)(const InterfaceStatus&);
};

// Rates of SPEC are in bits; base units are bytes.
Value to_bytes(const std::optional<uint64_t>& bits) { return bits ? Value(*bits / 8) : std::nullopt; }

constexpr Metric kMetrics[] = {
    {"receive_bytes_total", "counter", "Bytes that the guest received.",
     [](const InterfaceStatus& one) { return Value(one.received.bytes); }},
    {"receive_frames_total", "counter", "Frames that the guest received.",
     [](const InterfaceStatus& one) { return Value(one.received.frames); }},
    {"receive_errors_total", "counter", "Frames towards the guest that were in error.",
     [](const InterfaceStatus& one) { return Value(one.received.errors); }},
    {"receive_dropped_total", "counter", "Frames towards the guest that were dropped.",
     [](const InterfaceStatus& one) { return Value(one.received.dropped); }},
    {"transmit_bytes_total", "counter", "Bytes that the guest sent.",
     [](const InterfaceStatus& one) { return Value(one.sent.bytes); }},
    {"transmit_frames_total", "counter", "Frames that the guest sent.",
     [](const InterfaceStatus& one) { return Value(one.sent.frames); }},
    {"transmit_errors_total", "counter", "Frames from the guest that were in error.",
     [](const InterfaceStatus& one) { return Value(one.sent.errors); }},
    {"transmit_dropped_total", "counter", "Frames from the guest that were dropped.",
     [](const InterfaceStatus& one) { return Value(one.sent.dropped); }},
    {"up", "gauge", "1 if the host's side is administratively up.",
     [](const InterfaceStatus& one) { return Value(one.link.is_up()); }},
    {"carrier", "gauge", "1 if the host's side has a carrier; a tap has one while it is held.",
     [](const InterfaceStatus& one) { return Value(one.link.has_carrier); }},
    {"queues", "gauge", "Queues that are open; missing where they can't be seen.",
     [](const InterfaceStatus& one) { return one.queues ? Value(*one.queues) : std::nullopt; }},
    {"created_timestamp_seconds", "gauge", "When it was handed over.",
     [](const InterfaceStatus& one) {
       return one.tag && one.tag->since > 0 ? Value(static_cast<uint64_t>(one.tag->since)) : std::nullopt;
     }},
    {"locked", "gauge", "1 if the guest can send from its own MAC address only.",
     [](const InterfaceStatus& one) { return Value(one.is_locked()); }},
    {"isolated", "gauge", "1 if it can't reach other isolated ports of its bridge.",
     [](const InterfaceStatus& one) { return Value(one.is_isolated()); }},
    {"filtered", "gauge", "1 if only some protocols cross.",
     [](const InterfaceStatus& one) { return one.rules ? Value(one.is_filtered()) : std::nullopt; }},
    {"persistent", "gauge", "1 if it stays when nobody holds it.",
     [](const InterfaceStatus& one) { return Value(one.is_persistent()); }},
    {"receive_limit_bytes_per_second", "gauge", "Limit of the bandwidth towards the guest; missing without one.",
     [](const InterfaceStatus& one) { return one.rules ? to_bytes(one.rules->rate_to) : std::nullopt; }},
    {"transmit_limit_bytes_per_second", "gauge", "Limit of the bandwidth from the guest; missing without one.",
     [](const InterfaceStatus& one) { return one.rules ? to_bytes(one.rules->rate_from) : std::nullopt; }},
};

std::string head(const std::string& name, const char* type, const char* help) {
  return "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
}

}  // namespace

std::string status_prometheus(const StatusSnapshot& snapshot) {
  const std::string prefix = "tapferry_interface_";
  std::string text = head(prefix + "info", "gauge", "A tap or macvtap that was handed over; always 1.");
  for (const InterfaceStatus& one : snapshot.interfaces) text += prefix + "info{" + info_labels(one) + "} 1\n";
  for (const Metric& metric : kMetrics) {
    const std::string name = prefix + metric.name;
    text += head(name, metric.type, metric.help);
    for (const InterfaceStatus& one : snapshot.interfaces) {
      const Value value = metric.value(one);
      if (value) text += name + "{" + labels_of(one) + "} " + std::to_string(*value) + "\n";
    }
  }
  return text;
}

}  // namespace tapferry
