// SPDX-License-Identifier: MIT
//
// What a back-end that takes over from one that was killed has to know: a record for each ring (vhost/packed_resume.h), in a memfd
// that whoever supervises the process holds (--state-fd). Without one the records are in memory of this process, where they
// outlive a front-end only.
#pragma once

#include <cstddef>

#include "base/fd.h"
#include "base/result.h"
#include "vhost/packed_resume.h"

namespace tapferry {

class StateFile {
 public:
  // Maps `fd`, or anonymous memory where it is -1. A file too short for `rings` records is an error that says how long it has to
  // be. A new file, all zeros, says of no ring that it runs.
  static Result<StateFile> open(int fd, unsigned rings);

  StateFile(StateFile&& other) noexcept;
  StateFile& operator=(StateFile&& other) noexcept;
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;
  ~StateFile();

  RingRecord& ring(unsigned index) { return records_[index]; }

 private:
  StateFile(RingRecord* records, size_t bytes) : records_(records), bytes_(bytes) {}

  RingRecord* records_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace tapferry
