// SPDX-License-Identifier: MIT
//
// The frames of a load: made once in each buffer, and renewed with a few stores each time one is sent.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/lib/front/load.h"

namespace tapferry::front {

class LoadFrames {
 public:
  // An error when a frame of that content can't be that short.
  static Result<LoadFrames> make(const LoadOptions& options);

  // Header (12 bytes) and frame.
  size_t bytes() const { return flows_.front().size(); }
  // The next frame of the load goes into `buffer`; `is_first`: nothing of it is there yet. A buffer belongs to one flow only if
  // the number of buffers is a multiple of that of flows.
  void write(uint8_t* buffer, bool is_first);

 private:
  bool has_sequence_ = false;
  bool has_full_checksums_ = false;
  unsigned transport_at_ = 0;
  unsigned data_bytes_ = 0;
  unsigned next_ = 0;
  std::vector<std::vector<uint8_t>> flows_;  // the next frame of each
};

}  // namespace tapferry::front
