// SPDX-License-Identifier: MIT
//
// Guest memory is a file that somebody else can truncate; touching what is gone raises SIGBUS. The guard's handler puts private
// zero pages in the place of the mapping that was hit and remembers it, so that the thread goes on with zeros, the engine looks at
// is_memory_lost() after each burst, and the session ends with a line instead of the process with a signal. A SIGBUS elsewhere
// kills the process as ever.
#pragma once

#include <cstddef>

#include "base/result.h"

namespace tapferry {

// Once, before any thread.
Status install_memory_guard();

// Mappings that the handler may replace. At most kMaxGuarded at a time; the slots are plain memory that the handler reads.
inline constexpr size_t kMaxGuarded = 520;
Status guard_mapping(void* base, size_t bytes);
void unguard_mapping(void* base);

// Since the last reset_lost_memory().
bool is_memory_lost();
void reset_lost_memory();

}  // namespace tapferry
