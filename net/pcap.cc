// SPDX-License-Identifier: MIT
#include "net/pcap.h"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <string_view>

#include "base/syscall.h"

namespace tapferry {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint32_t kMagicNanoseconds = 0xa1b23c4d;
constexpr uint32_t kSnapLength = 262144;  // tcpdump's own limit
constexpr uint32_t kLinkTypeEthernet = 1;

template <typename T>
void append_native(Bytes* bytes, T value) {
  const size_t at = bytes->size();
  bytes->resize(at + sizeof value);
  memcpy(bytes->data() + at, &value, sizeof value);
}

std::string_view text_of(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace

Bytes pcap_file_header() {
  Bytes bytes;
  append_native(&bytes, kMagicNanoseconds);
  append_native<uint16_t>(&bytes, 2);
  append_native<uint16_t>(&bytes, 4);
  append_native<uint32_t>(&bytes, 0);
  append_native<uint32_t>(&bytes, 0);
  append_native(&bytes, kSnapLength);
  append_native(&bytes, kLinkTypeEthernet);
  return bytes;
}

Bytes pcap_record(std::span<const uint8_t> frame, int64_t time_ns) {
  const auto length = static_cast<uint32_t>(frame.size());
  Bytes bytes;
  bytes.reserve(4 * sizeof length + frame.size());
  append_native(&bytes, static_cast<uint32_t>(time_ns / 1000000000));
  append_native(&bytes, static_cast<uint32_t>(time_ns % 1000000000));
  append_native(&bytes, length);
  append_native(&bytes, length);
  bytes.insert(bytes.end(), frame.begin(), frame.end());
  return bytes;
}

int64_t pcap_time_ns() {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000000000 + now.tv_nsec;
}

Result<PcapWriter> PcapWriter::create(const std::string& path, bool overwrite) {
  const int how = overwrite ? O_TRUNC : O_EXCL;
  const int fd =
      retry_on_eintr([&] { return open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | how, 0600); });
  if (fd < 0) return Error::from_errno("create", path, errno);
  PcapWriter writer(Fd(fd), path);
  TRY(write_all(fd, text_of(pcap_file_header()), path));
  return writer;
}

Status PcapWriter::write(std::span<const uint8_t> frame, int64_t time_ns) {
  return write_all(file_.get(), text_of(pcap_record(frame, time_ns)), path_);
}

}  // namespace tapferry
