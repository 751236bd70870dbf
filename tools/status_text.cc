// SPDX-License-Identifier: MIT
//
// Interfaces as a table or as paragraphs.

#include <algorithm>
#include <ctime>

#include "base/text.h"
#include "tools/status.h"
#include "tools/status_columns.h"
#include "tools/text_table.h"

namespace tapferry {
namespace {

std::string rate_text(const std::optional<TrafficRate>& rate, double TrafficRate::*member) {
  return rate ? short_number((*rate).*member) : "";
}

std::string queues_text(const InterfaceStatus& one) { return one.queues ? std::to_string(*one.queues) : "?"; }

std::string age_text(const InterfaceStatus& one, int64_t time_us) {
  if (!one.tag || one.tag->since == 0) return "";
  return short_duration(time_us / 1000000 - one.tag->since);
}

std::string limits_text(const InterfaceStatus& one) {
  std::string text;
  const auto add = [&](bool holds, const char* word) {
    if (holds) text += (text.empty() ? "" : ",") + std::string(word);
  };
  add(one.is_locked(), "lock");
  add(one.is_isolated(), "isolated");
  add(one.is_filtered(), "filter");
  add(one.rules && (one.rules->rate_to || one.rules->rate_from), "rate");
  add(one.is_persistent(), "persist");
  if (!one.rules) text += text.empty() ? "?" : ",?";
  return text;
}

std::string holder_text(const HolderProcess& holder) { return std::to_string(holder.pid) + " " + holder.name; }

std::string holders_text(const InterfaceStatus& one) {
  if (one.holders.empty()) return one.has_unseen_holder ? "?" : "";
  const std::string first = holder_text(one.holders[0]);
  return one.holders.size() == 1 ? first : first + " +" + std::to_string(one.holders.size() - 1);
}

// --- paragraphs

std::string date_text(int64_t since) {
  const auto seconds = static_cast<time_t>(since);
  tm local = {};
  char text[64] = "";
  if (localtime_r(&seconds, &local) != nullptr) strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %z", &local);
  return text;
}

std::string filter_text(const std::vector<uint16_t>& ethertypes) {
  return to_string(ProtocolFilter{false, ethertypes});
}

std::string traffic_text(const FrameCounters& counters, const std::optional<TrafficRate>& rate) {
  std::string text = std::to_string(counters.bytes) + " bytes, " + std::to_string(counters.frames) + " frames";
  if (counters.errors != 0) text += ", " + std::to_string(counters.errors) + " errors";
  if (counters.dropped != 0) text += ", " + std::to_string(counters.dropped) + " dropped";
  if (rate) text += "; " + short_number(rate->bytes) + " bytes/s, " + short_number(rate->frames) + " frames/s";
  return text;
}

std::string limits_paragraph(const InterfaceStatus& one) {
  std::string text;
  const auto add = [&](bool holds, const std::string& word) {
    if (holds) text += (text.empty() ? "" : ", ") + word;
  };
  add(one.is_locked(), "locked");
  add(one.is_isolated(), "isolated");
  add(one.is_persistent(), "persistent");
  if (!one.rules) {
    add(true, "filter and rates unknown");
    return text;
  }
  if (one.rules->ethertypes) add(true, "filter " + filter_text(*one.rules->ethertypes));
  if (one.rules->rate_to) add(true, "rate_to " + rate_to_string(*one.rules->rate_to));
  if (one.rules->rate_from) add(true, "rate_from " + rate_to_string(*one.rules->rate_from));
  return text.empty() ? "none" : text;
}

std::string paragraph(const InterfaceStatus& one) {
  std::string text = escape(one.link.name) + "\n";
  const auto line = [&](std::string_view key, const std::string& value) {
    text += "  " + std::string(key) + std::string(12 - key.size(), ' ') + escape(value) + "\n";
  };
  line("user", one.uid ? one.user + " (uid " + std::to_string(*one.uid) + ")" : "none");
  line("kind", one.tag ? one.kind : one.kind + ", not made by tapferry");
  if (!one.upper.empty()) line("upper", one.upper);
  line("state", one.state());
  line("queues", one.queues ? queues_text(one) : "unknown");
  line("mac", to_string(one.link.mac));
  line("mtu", std::to_string(one.link.mtu));
  if (one.tag && one.tag->since != 0) line("since", date_text(one.tag->since));
  if (one.tag) line("rule", one.tag->rule);
  line("limits", limits_paragraph(one));
  for (const HolderProcess& holder : one.holders) line("held by", holder_text(holder));
  if (one.holders.empty()) line("held by", one.has_unseen_holder ? "nobody that can be seen from here" : "nobody");
  line("received", traffic_text(one.received, one.receive_rate));
  line("sent", traffic_text(one.sent, one.send_rate));
  return text;
}

}  // namespace

TextTable status_columns(const std::vector<const InterfaceStatus*>& interfaces, int64_t time_us) {
  TextTable table({{"INTERFACE", false, 0},
                   {"USER", false, 0},
                   {"KIND", false, 6},
                   {"UPPER", false, 0},
                   {"Q", true, 5},
                   {"MAC", false, 1},
                   {"STATE", false, 0},
                   {"AGE", true, 4},
                   {"RECV B/s", true, 0},
                   {"RECV F/s", true, 2},
                   {"SENT B/s", true, 0},
                   {"SENT F/s", true, 2},
                   {"LIMITS", false, 3},
                   {"HELD BY", false, 0}});
  for (const InterfaceStatus* one : interfaces) {
    table.add_row({one->link.name, one->user, one->kind, one->upper, queues_text(*one), to_string(one->link.mac),
                   one->state(), age_text(*one, time_us), rate_text(one->receive_rate, &TrafficRate::bytes),
                   rate_text(one->receive_rate, &TrafficRate::frames), rate_text(one->send_rate, &TrafficRate::bytes),
                   rate_text(one->send_rate, &TrafficRate::frames), limits_text(*one), holders_text(*one)});
  }
  return table;
}

std::string status_table(const StatusSnapshot& snapshot, size_t width) {
  if (snapshot.interfaces.empty()) return "there is nothing to show\n";
  std::vector<const InterfaceStatus*> all;
  for (const InterfaceStatus& one : snapshot.interfaces) all.push_back(&one);
  const TextTable::Rendered table = status_columns(all, snapshot.time_us).render(width);
  std::string text = table.header + "\n";
  for (const std::string& row : table.rows) text += row + "\n";
  std::string left_out;
  for (const std::string& title : table.left_out) left_out += (left_out.empty() ? "" : ", ") + title;
  if (!left_out.empty()) text += "note: no room for " + left_out + "; --long has it\n";
  return text;
}

std::string status_paragraphs(const StatusSnapshot& snapshot) {
  std::string text;
  for (const InterfaceStatus& one : snapshot.interfaces) text += paragraph(one);
  return text;
}

std::string status_notes(const StatusSnapshot& snapshot) {
  if (!snapshot.has_unseen_holders()) return "";
  return "note: some holders can't be seen from here: processes of other users (root sees those) or of other "
         "containers\n";
}

}  // namespace tapferry
