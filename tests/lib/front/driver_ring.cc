// SPDX-License-Identifier: MIT
#include "tests/lib/front/driver_ring.h"

#include "tests/lib/front/driver_packed.h"
#include "tests/lib/front/driver_split.h"

namespace tapferry::front {

Result<std::unique_ptr<DriverRing>> make_driver_ring(const RingOptions& options, GuestMemoryFile* memory) {
  return options.is_packed ? DriverPacked::make(options, memory) : DriverSplit::make(options, memory);
}

}  // namespace tapferry::front
