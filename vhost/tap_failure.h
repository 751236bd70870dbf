// SPDX-License-Identifier: MIT
//
// Reads and writes of a tap that failed.
#pragma once

#include <cerrno>
#include <span>

#include "vhost/engine.h"
#include "vhost/guest_access.h"

namespace tapferry {

// Whether a result means that no later call will do better: the interface was deleted (EBADFD from tun_chr_read_iter() in
// drivers/net/tun.c), or the other end of what stands in for a tap is closed.
inline bool is_tap_gone(int result) {
  switch (-result) {
    case EBADFD:
    case EBADF:
    case ENODEV:
    case EPIPE:
    case ENOTCONN:
    case ECONNRESET: return true;
    default: return false;
  }
}

// After EFAULT: touches all pages, so that one that is gone raises SIGBUS (vhost/memory_guard.h), which a failing system call
// doesn't.
inline void touch_pages(const FrameIo& frame) {
  constexpr size_t kPage = 4096;
  for (const iovec& piece : std::span(frame.pieces, frame.piece_count)) {
    const auto* bytes = static_cast<const uint8_t*>(piece.iov_base);
    for (size_t at = 0; at < piece.iov_len; at += kPage) (void)guest_load(bytes + at);
    if (piece.iov_len != 0) (void)guest_load(bytes + piece.iov_len - 1);
  }
}

}  // namespace tapferry
