// SPDX-License-Identifier: MIT
#include "vhost/capture.h"

#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "vhost/program.h"

namespace tapferry {

Result<std::unique_ptr<Capture>> Capture::create(const std::string& path) {
  auto writer = PcapWriter::create(path, false);
  if (writer.is_ok()) return std::unique_ptr<Capture>(new Capture(std::move(writer).value()));
  if (writer.error().code() != EEXIST) return std::move(writer).error();
  return std::move(writer).error().with_hint("name another, or remove it");
}

void Capture::on_frame(const iovec* pieces, unsigned piece_count, unsigned skip_bytes, uint32_t frame_bytes) {
  const std::lock_guard lock(mutex_);
  if (!writer_) return;
  frame_.clear();
  size_t skip = skip_bytes;
  for (unsigned i = 0; i < piece_count && frame_.size() < frame_bytes; ++i) {
    const size_t skipped = std::min(skip, pieces[i].iov_len);
    skip -= skipped;
    const auto* begin = static_cast<const uint8_t*>(pieces[i].iov_base) + skipped;
    const size_t length = std::min<size_t>(pieces[i].iov_len - skipped, frame_bytes - frame_.size());
    frame_.insert(frame_.end(), begin, begin + length);
  }
  const Status written = writer_->write(frame_, pcap_time_ns());
  if (written.is_ok()) return;
  log_line(kVhostProgram, written.error().line() + "; the capture ends here, the session goes on");
  writer_.reset();
}

}  // namespace tapferry
