// SPDX-License-Identifier: MIT
#include "tools/report.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "net/child.h"
#include "tools/json.h"

namespace tapferry {
namespace {

using Row = std::array<std::string, 4>;

std::string or_dash(const std::string& text) { return text.empty() ? "-" : escape(text); }

void write_fd(const FdFacts& fd, JsonWriter* json) {
  json->begin_object(nullptr);
  json->text("kind", fd.kind);
  json->text("path", fd.path);
  json->boolean("nonblocking", fd.is_nonblocking);
  json->boolean("cloexec", fd.is_cloexec);
  if (fd.vhost_features) json->texts("features", vhost_feature_names(*fd.vhost_features));
  if (fd.is_tap) {
    json->text("ifname", fd.queue.ifname);
    json->texts("flags", tap_flag_names(fd.queue.flags));
    json->number("vnet_hdr_sz", fd.queue.vnet_hdr_sz);
    json->texts("offloads", fd.offloads);
  }
  json->end_object();
}

void write_interface(const InterfaceFacts& interface, JsonWriter* json) {
  const Link& link = interface.link;
  json->begin_object("interface");
  json->text("ifname", link.name);
  json->number("ifindex", link.index);
  json->text("type", link.kind);
  json->boolean("up", link.is_up());
  json->boolean("carrier", link.has_carrier);
  json->number("mtu", link.mtu);
  json->text("mac", to_string(link.mac));
  if (interface.master.empty()) {
    json->null("bridge");
  } else {
    json->text("bridge", interface.master);
  }
  if (interface.lower.empty()) {
    json->null("parent");
  } else {
    json->text("parent", interface.lower);
  }
  if (!interface.mode.empty()) json->text("mode", interface.mode);
  if (link.tap_owner) {
    json->number("owner", *link.tap_owner);
  } else {
    json->null("owner");
  }
  json->text("tag", link.alias);
  json->texts("altnames", link.altnames);
  json->end_object();
}

void write_record(const Facts& facts, JsonWriter* json) {
  if (!facts.record) {
    json->null("record");
    return;
  }
  json->json("record", to_json_line(*facts.record));
}

}  // namespace

std::string report_table(const std::vector<Check>& checks) {
  std::vector<Row> rows = {{"PROPERTY", "ASKED", "RECEIVED", "VERDICT"}};
  for (const Check& check : checks) {
    rows.push_back({check.property, or_dash(check.asked), or_dash(check.received), result_word(check.result)});
  }
  std::array<size_t, 4> widths = {};
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  // A long tag would push every verdict off the screen.
  widths[2] = std::min<size_t>(widths[2], 48);
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line += std::string(widths[i] - std::min(widths[i], row[i].size()) + 2, ' ');
    }
    text += line + "\n";
  }
  const auto wrong = std::count_if(checks.begin(), checks.end(),
                                   [](const Check& check) { return check.result == CheckResult::kWrong; });
  return text + (wrong == 0 ? "all as asked\n" : std::to_string(wrong) + " WRONG\n");
}

std::string report_json(const Facts& facts, const std::vector<Check>& checks) {
  JsonWriter json;
  json.number("version", 1);
  json.boolean("ok", is_all_right(checks));
  if (facts.wait_status) json.text("helper_end", describe_wait_status(*facts.wait_status));
  json.number("bytes", static_cast<int64_t>(facts.bytes));
  json.number("trailing_bytes", static_cast<int64_t>(facts.trailing_bytes));
  json.number("trailing_fds", static_cast<int64_t>(facts.trailing_fds));
  write_record(facts, &json);
  json.begin_array("fds");
  for (const FdFacts& fd : facts.fds) write_fd(fd, &json);
  json.end_array();
  if (facts.interface) {
    write_interface(*facts.interface, &json);
  } else {
    json.null("interface");
  }
  json.begin_array("checks");
  for (const Check& check : checks) {
    json.begin_object(nullptr);
    json.text("property", check.property);
    json.text("asked", check.asked);
    json.text("received", check.received);
    json.text("verdict", result_word(check.result));
    json.end_object();
  }
  json.end_array();
  return json.take_line();
}

}  // namespace tapferry
