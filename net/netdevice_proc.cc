// SPDX-License-Identifier: MIT
#include "net/netdevice_proc.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <optional>
#include <type_traits>

#include "base/parse.h"
#include "base/syscall.h"

namespace tapferry {
namespace {

// The network of this thread, which may have been moved apart from the process's first (proc(5), /proc/thread-self).
constexpr const char* kDev = "/proc/thread-self/net/dev";
constexpr const char* kInet6 = "/proc/thread-self/net/if_inet6";
constexpr const char* kMulticast = "/proc/thread-self/net/dev_mcast";
// A hundred thousand interfaces.
constexpr size_t kLimit = 16u << 20;

Error malformed(const char* path, std::string_view line) {
  return Error::from_errno("read", path, EBADMSG).with_detail(line);
}

// Of the kernel's %llu and %x, with or without leading zeros.
template <typename Number>
bool read_number(std::string_view word, int base, Number* number) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), *number, base);
  return error == std::errc() && end == word.data() + word.size();
}

std::optional<std::vector<uint8_t>> read_bytes(std::string_view digits) {
  if (digits.size() % 2 != 0) return std::nullopt;
  std::vector<uint8_t> bytes(digits.size() / 2);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (!read_number(digits.substr(2 * i, 2), 16, &bytes[i])) return std::nullopt;
  }
  return bytes;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines = split(text, '\n');
  if (lines.back().empty()) lines.pop_back();
  return lines;
}

std::optional<InterfaceCounters> read_counters(std::string_view line) {
  // A name can't contain a colon (dev_valid_name()), and the first number may touch it.
  const size_t colon = line.find(':');
  const size_t begin = line.find_first_not_of(' ');
  if (colon == std::string_view::npos || begin >= colon) return std::nullopt;
  InterfaceCounters of{.name = std::string(line.substr(begin, colon - begin)), .received = {}, .sent = {}};
  ReceiveCounters& in = of.received;
  TransmitCounters& out = of.sent;
  uint64_t* const columns[] = {&in.bytes,      &in.packets,     &in.errors,   &in.dropped,    &in.fifo,    &in.frame,
                               &in.compressed, &in.multicast,   &out.bytes,   &out.packets,   &out.errors, &out.dropped,
                               &out.fifo,      &out.collisions, &out.carrier, &out.compressed};
  const auto words = split_words(line.substr(colon + 1));
  if (words.size() != std::size(columns)) return std::nullopt;
  for (size_t i = 0; i < words.size(); ++i) {
    if (!read_number(words[i], 10, columns[i])) return std::nullopt;
  }
  return of;
}

// "fe80000000000000dc37f7fffe7dd911 03 40 20 80       v0": if6_seq_show() in net/ipv6/addrconf.c.
std::optional<Ipv6Entry> read_ipv6_entry(std::string_view line) {
  const auto words = split_words(line);
  if (words.size() != 6 || words[0].size() != 32) return std::nullopt;
  const auto bytes = read_bytes(words[0]);
  Ipv6Entry entry;
  if (!bytes || !read_number(words[1], 16, &entry.index) || !read_number(words[2], 16, &entry.prefix_len) ||
      !read_number(words[3], 16, &entry.scope) || !read_number(words[4], 16, &entry.flags)) {
    return std::nullopt;
  }
  std::copy(bytes->begin(), bytes->end(), entry.address.s6_addr);
  return entry;
}

// "3    v0              1     1     333300112233": dev_mc_seq_show() in net/core/net-procfs.c.
std::optional<MulticastEntry> read_multicast_entry(std::string_view line) {
  const auto words = split_words(line);
  MulticastEntry entry;
  unsigned global = 0;
  if (words.size() != 5 || !read_number(words[0], 10, &entry.index) || !read_number(words[2], 10, &entry.users) ||
      !read_number(words[3], 10, &global)) {
    return std::nullopt;
  }
  auto bytes = read_bytes(words[4]);
  if (!bytes) return std::nullopt;
  entry.is_added_globally = global != 0;
  entry.address = *std::move(bytes);
  return entry;
}

template <typename Read>
auto parse_lines(std::string_view text, const char* path, size_t headings, Read read)
    -> Result<std::vector<typename std::invoke_result_t<Read, std::string_view>::value_type>> {
  std::vector<typename std::invoke_result_t<Read, std::string_view>::value_type> entries;
  const auto lines = lines_of(text);
  for (size_t i = headings; i < lines.size(); ++i) {
    auto entry = read(lines[i]);
    if (!entry) return malformed(path, lines[i]);
    entries.push_back(*std::move(entry));
  }
  return entries;
}

Result<std::string> text_of(const char* path) {
  const Fd file = TRY(open_file(path, O_RDONLY));
  return read_all(file.get(), kLimit, path);
}

}  // namespace

Result<std::vector<InterfaceCounters>> parse_interface_counters(std::string_view text) {
  return parse_lines(text, kDev, 2, read_counters);
}

Result<std::vector<Ipv6Entry>> parse_ipv6_entries(std::string_view text) {
  return parse_lines(text, kInet6, 0, read_ipv6_entry);
}

Result<std::vector<MulticastEntry>> parse_multicast_entries(std::string_view text) {
  return parse_lines(text, kMulticast, 0, read_multicast_entry);
}

Result<std::vector<InterfaceCounters>> read_interface_counters() {
  const std::string text = TRY(text_of(kDev));
  return parse_interface_counters(text);
}

Result<std::vector<Ipv6Entry>> read_ipv6_entries() {
  const auto text = text_of(kInet6);
  if (!text.is_ok() && text.error().code() == ENOENT) return std::vector<Ipv6Entry>();
  if (!text.is_ok()) return text.error();
  return parse_ipv6_entries(text.value());
}

Result<std::vector<MulticastEntry>> read_multicast_entries() {
  const std::string text = TRY(text_of(kMulticast));
  return parse_multicast_entries(text);
}

}  // namespace tapferry
