// SPDX-License-Identifier: MIT
//
// A guest's memory as a VMM has it: regions of memfds, mapped here at one place each, so that an address of the guest is a
// fixed distance from ours, and neighbouring regions can be used as one range.
//
// The address that a region has in the front-end's process, which vhost-user calls the user address, is ours too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace tapferry::front {

struct GuestRegion {
  uint64_t gpa = 0;
  uint64_t size = 0;
  uint64_t offset = 0;  // in the file
  Fd file;
};

class GuestMemoryFile {
 public:
  // Guest physical addresses are below this.
  static constexpr uint64_t kWindow = uint64_t{8} << 30;

  static Result<std::unique_ptr<GuestMemoryFile>> make();
  GuestMemoryFile(const GuestMemoryFile&) = delete;
  GuestMemoryFile& operator=(const GuestMemoryFile&) = delete;
  ~GuestMemoryFile();

  // A file of its own for [gpa, gpa + size), which starts `offset` into it. Whole pages.
  Status add(uint64_t gpa, uint64_t size, uint64_t offset = 0);
  Status remove(size_t index);
  // Cuts the region's file to `size` bytes behind the offset; contains() knows.
  Status truncate(size_t index, uint64_t size);
  const std::vector<GuestRegion>& regions() const { return regions_; }

  // All of the range can be touched; it may cross regions.
  bool contains(uint64_t gpa, uint64_t length) const;
  uint8_t* at(uint64_t gpa) const { return window_ + gpa; }
  uint64_t uva_of(uint64_t gpa) const { return reinterpret_cast<uint64_t>(window_) + gpa; }

  // Memory that nobody else uses: the first region with room for it. `alignment` is a power of two.
  Result<uint64_t> allocate(uint64_t bytes, uint64_t alignment);
  // Buffers that come back; what is given out may be larger than asked.
  Result<uint64_t> take_buffer(uint64_t bytes);
  void return_buffer(uint64_t gpa, uint64_t bytes);
  // Forgets all that was allocated.
  void release_all();

 private:
  explicit GuestMemoryFile(uint8_t* window) : window_(window) {}

  uint8_t* window_;
  std::vector<GuestRegion> regions_;
  std::map<uint64_t, uint64_t> used_;                  // by gpa of the region: bytes from its begin
  std::map<uint64_t, std::vector<uint64_t>> buffers_;  // by size: free ones
};

}  // namespace tapferry::front
