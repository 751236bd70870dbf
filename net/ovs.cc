// SPDX-License-Identifier: MIT
#include "net/ovs.h"

#include <algorithm>

#include "base/parse.h"
#include "net/spec.h"
#include "net/tag.h"

namespace tapferry {
namespace {

using Words = std::vector<std::string>;

constexpr size_t kUuidLength = 36;  // RFC 9562, section 4

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool is_uuid(std::string_view text) {
  return text.size() == kUuidLength && std::all_of(text.begin(), text.end(), [](char c) {
           return c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// What is printed is then one line for each row, its values with commas between them; none of ours has a comma or a quotation mark.
Words find_rows(std::string_view columns, std::string_view table, std::string_view condition) {
  return {"--no-headings", "--format=csv",     "--data=bare",         "--columns=" + std::string(columns),
          "find",          std::string(table), std::string(condition)};
}

std::string assign(std::string_view column, std::string_view value) {
  return std::string(column) + "=\"" + std::string(value) + "\"";
}

std::vector<std::string_view> lines_of(std::string_view output) {
  std::vector<std::string_view> lines = split(output, '\n');
  std::erase(lines, std::string_view());
  return lines;
}

std::optional<OvsPort> read_port(std::string_view line) {
  const std::vector<std::string_view> columns = split(line, ',');
  if (columns.size() != 3 || !is_uuid(columns[0])) return std::nullopt;
  for (std::string_view word : split_words(columns[2])) {
    if (!consume_prefix(&word, "tapferry=")) continue;
    const auto tag = parse_ovs_tag(word);
    if (tag) return OvsPort{std::string(columns[0]), std::string(columns[1]), *tag};
  }
  return std::nullopt;
}

void append(Words* words, Words more) {
  for (std::string& word : more) words->push_back(std::move(word));
}

}  // namespace

std::optional<std::string_view> ovs_bridge(std::string_view object) {
  if (!consume_prefix(&object, kOvsPrefix)) return std::nullopt;
  return object;
}

bool is_ovs_word(std::string_view text, size_t most) {
  if (text.empty() || text.size() > most || !is_alphanumeric(text[0])) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return is_alphanumeric(c) || std::string_view("._:-").find(c) != std::string_view::npos;
  });
}

bool is_ovs_interface_name(std::string_view name) { return is_interface_name(name) && is_ovs_word(name, name.size()); }

std::string to_string(const OvsTag& tag) {
  return "bridge=" + tag.bridge + ";ifindex=" + std::to_string(tag.ifindex) + ";since=" + std::to_string(tag.since) +
         ";uid=" + std::to_string(tag.uid);
}

std::optional<OvsTag> parse_ovs_tag(std::string_view text) {
  std::vector<std::string_view> parts = split(text, ';');
  if (parts.size() != 4 || !consume_prefix(parts.data(), "bridge=") || !consume_prefix(&parts[1], "ifindex=") ||
      !consume_prefix(&parts[2], "since=") || !consume_prefix(&parts[3], "uid=")) {
    return std::nullopt;
  }
  const auto ifindex = parse_uint(parts[1], 1, INT32_MAX);
  const auto since = parse_uint(parts[2], 0, INT64_MAX);
  const auto uid = parse_uint(parts[3], 0, UINT32_MAX);
  if (!is_ovs_interface_name(parts[0]) || !ifindex || !since || !uid) return std::nullopt;
  OvsTag tag;
  tag.bridge = parts[0];
  tag.ifindex = static_cast<int>(*ifindex);
  tag.since = static_cast<int64_t>(*since);
  tag.uid = static_cast<uint32_t>(*uid);
  return tag;
}

bool is_left_behind(const OvsPort& port, const std::optional<Link>& link) {
  if (!link || link->index != port.tag.ifindex) return true;
  const auto tag = parse_tag(link->alias);
  return !tag || tag->since != port.tag.since;
}

Words arguments_to_find_local_port(const std::string& bridge) {
  return find_rows("ifindex,mac_in_use", "Interface", assign("name", bridge));
}

std::optional<OvsLocalPort> read_local_port(std::string_view output) {
  const std::vector<std::string_view> lines = lines_of(output);
  if (lines.size() != 1) return std::nullopt;
  const std::vector<std::string_view> columns = split(lines[0], ',');
  if (columns.size() != 2) return std::nullopt;
  const auto ifindex = parse_uint(columns[0], 1, INT32_MAX);
  const auto mac = parse_mac(columns[1]);
  if (!ifindex || !mac) return std::nullopt;
  return OvsLocalPort{static_cast<int>(*ifindex), *mac};
}

Words arguments_to_list_ports() { return find_rows("_uuid,name,external_ids", "Port", "external_ids:tapferry!=\"\""); }

std::vector<OvsPort> read_ports(std::string_view output) {
  std::vector<OvsPort> ports;
  for (const std::string_view line : lines_of(output)) {
    if (auto port = read_port(line)) ports.push_back(std::move(*port));
  }
  return ports;
}

Words arguments_to_find_iface_id(const std::string& iface_id) {
  return find_rows("name", "Interface", assign("external_ids:iface-id", iface_id));
}

Words read_names(std::string_view output) {
  Words names;
  for (const std::string_view line : lines_of(output)) names.emplace_back(line);
  return names;
}

Words arguments_to_add(const NewOvsPort& port, const std::vector<OvsPort>& left_behind) {
  Words words = {"--no-wait"};
  for (const OvsPort& old : left_behind) {
    append(&words, {"--", "--if-exists", "remove", "Bridge", old.tag.bridge, "ports", old.uuid});
  }
  append(&words, {"--", "--id=@interface", "create", "Interface", assign("name", port.name)});
  if (port.iface_id) append(&words, {assign("external_ids:iface-id", *port.iface_id)});
  append(&words, {"--", "--id=@port", "create", "Port", assign("name", port.name), "interfaces=@interface",
                  assign("external_ids:tapferry", to_string(port.tag)),
                  // So that Open vSwitch forgets it with the next boot, where it is told to (ovs-ctl(8)).
                  "other_config:transient=true"});
  append(&words, {"--", "add", "Bridge", port.tag.bridge, "ports", "@port"});
  return words;
}

Words arguments_to_wait_for(const std::string& name, int ifindex) {
  return {"wait-until", "Interface", name, "ifindex=" + std::to_string(ifindex), "ofport>0"};
}

Words arguments_to_get_error(const std::string& name) { return {"--if-exists", "get", "Interface", name, "error"}; }

Words arguments_to_remove(const OvsPort& port) {
  return {"--no-wait", "--if-exists", "remove", "Bridge", port.tag.bridge, "ports", port.uuid};
}

}  // namespace tapferry
