// SPDX-License-Identifier: MIT
//
// A capture file that tcpdump and Wireshark open: pcap with nanoseconds, Ethernet frames without their vnet header.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry {

class PcapWriter {
 public:
  // Makes the file with mode 0600. One that exists is an error (EEXIST) unless `overwrite`.
  static Result<PcapWriter> create(const std::string& path, bool overwrite);

  // Written at once, so that the file is whole after each frame.
  Status write(std::span<const uint8_t> frame, int64_t time_ns);

 private:
  PcapWriter(Fd file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

  Fd file_;
  std::string path_;
};

// The parts of the format (draft-ietf-opsawg-pcap), in the host's byte order, which the magic number tells.
std::vector<uint8_t> pcap_file_header();
std::vector<uint8_t> pcap_record(std::span<const uint8_t> frame, int64_t time_ns);

// CLOCK_REALTIME, nanoseconds since 1970.
int64_t pcap_time_ns();

}  // namespace tapferry
