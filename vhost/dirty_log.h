// SPDX-License-Identifier: MIT
//
// Which pages of the guest this process has written, told to the front-end while it migrates the guest (VHOST_F_LOG_ALL): a
// bitmap in memory that it shares, one bit for 4 KiB, set with atomic OR since several threads and the front-end use it.
#pragma once

#include <cstdint>

#include "base/fd.h"
#include "base/result.h"
#include "vhost/shared_mapping.h"

namespace tapferry {

class DirtyLog {
 public:
  static constexpr uint64_t kPageBytes = 4096;

  DirtyLog() = default;
  DirtyLog(const DirtyLog&) = delete;
  DirtyLog& operator=(const DirtyLog&) = delete;
  ~DirtyLog() { clear(); }

  // SET_LOG_BASE: maps `size` bytes at `offset` of the descriptor. Refused: no size, sums that wrap (CVE-2020-10722), a file
  // that is too short. The log before is unmapped.
  Status set(uint64_t size, uint64_t offset, Fd fd);
  void clear();
  bool is_mapped() const { return bits_ != nullptr; }

  // Marks the pages of [gpa, gpa + length), after they were written; those behind the bitmap's end are left out, and counted.
  // Any thread.
  void mark(uint64_t gpa, uint64_t length);
  uint64_t pages_outside() const;

 private:
  SharedMapping mapping_;
  uint8_t* bits_ = nullptr;
  uint64_t page_count_ = 0;
  uint64_t pages_outside_ = 0;
};

}  // namespace tapferry
