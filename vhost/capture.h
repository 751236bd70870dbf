// SPDX-License-Identifier: MIT
//
// --pcap: both directions of all queue pairs in one capture file.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "net/pcap.h"
#include "vhost/worker.h"

namespace tapferry {

// Shown frames by several threads. A write that fails ends the capture with one line on stderr; the frames go on.
class Capture final : public FrameTap {
 public:
  // Makes the file, which must not exist; before the sandbox.
  static Result<std::unique_ptr<Capture>> create(const std::string& path);

  void on_frame(const iovec* pieces, unsigned piece_count, unsigned skip_bytes, uint32_t frame_bytes) override;

 private:
  explicit Capture(PcapWriter writer) : writer_(std::move(writer)) {}

  std::mutex mutex_;
  std::optional<PcapWriter> writer_;  // none: it has failed
  std::vector<uint8_t> frame_;        // copied first: the guest can change its memory, but not what one record says
};

}  // namespace tapferry
