// SPDX-License-Identifier: MIT
//
// The guest's memory as the front-end shares it: regions mapped from its descriptors, and the only way to an address in it.
//
// Every address that the guest or the front-end names goes through at_gpa(), at_uva() or spans(), which answer for the whole
// range or not at all (CVE-2018-1059: a range whose begin alone was checked). The table changes only while no queue runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <sys/types.h>
#include <sys/uio.h>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "vhost/shared_mapping.h"

namespace tapferry {

// One region as SET_MEM_TABLE and ADD_MEM_REG name it; all in bytes.
struct RegionSpec {
  uint64_t gpa = 0;  // guest physical address
  uint64_t size = 0;
  uint64_t uva = 0;          // address in the front-end's process, which ring addresses are given in
  uint64_t mmap_offset = 0;  // of the region in its descriptor

  bool operator==(const RegionSpec&) const = default;
};

class GuestMemory {
 public:
  // As GET_MAX_MEM_SLOTS tells; QEMU uses no more (VHOST_USER_MAX_RAM_SLOTS).
  static constexpr size_t kMaxSlots = 512;

  GuestMemory() = default;
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;
  ~GuestMemory() { clear(); }

  // Maps the region, shared. Refused: no size, sizes that wrap, an overlap with another region in gpa or in uva, a file that is
  // shorter than offset and size, a table that is full. The descriptor isn't needed afterwards.
  // The same one once more, of the same file, is only counted: up to version 7.2 QEMU adds and removes each region once for
  // each queue pair (vhost_user_one_time_request() in hw/virtio/vhost-user.c leaves these requests out).
  Status add(const RegionSpec& region, Fd fd);
  // Unmaps the region that has this gpa, size and uva, if it was removed as often as it was added.
  Status remove(const RegionSpec& region);
  // All of a new table or, with an error, nothing of it; what was mapped before is gone in both cases.
  Status replace(const std::vector<RegionSpec>& regions, std::vector<Fd> fds);
  void clear();

  size_t slots() const { return mappings_.size(); }

  // Host address of [gpa, gpa + length); null unless all of it is in one region.
  uint8_t* at_gpa(uint64_t gpa, uint64_t length) const;
  uint8_t* at_uva(uint64_t uva, uint64_t length) const;

  // One region, looked up once for many addresses: most of them are in the region of the one before. For use until the table
  // changes.
  struct Window {
    uint64_t gpa = 0;
    uint64_t size = 0;
    uint8_t* host = nullptr;

    // As at_gpa(), in this region only.
    uint8_t* at(uint64_t address, uint64_t length) const {
      const uint64_t offset = address - gpa;
      return offset < size && length <= size - offset ? host + offset : nullptr;
    }
  };
  // The region that `gpa` is in; an empty one if it is in none.
  Window window_at(uint64_t gpa) const;

  // The pieces of [gpa, gpa + length), which may cross into a neighbouring region. Returns how many were written to `iov`;
  // 0 when not all of it is mapped or length is 0, -1 when it takes more than `room`.
  int spans(uint64_t gpa, uint64_t length, iovec* iov, int room) const;

  // Private copy of guest memory, over regions too; false when not all of it is mapped. Each byte is read once.
  bool copy_in(void* to, uint64_t gpa, size_t length) const;

  // Guest physical address of a host address that spans() gave; for the dirty log.
  uint64_t gpa_of(const void* host) const;

 private:
  struct Mapping {
    RegionSpec region;
    SharedMapping memory;
    dev_t device = 0;  // and inode: which file it is
    ino_t inode = 0;
    unsigned times = 1;                              // that it was added and not removed
    uint8_t* host() const { return memory.data(); }  // of region.gpa
  };
  const Mapping* find_gpa(uint64_t gpa) const;
  std::vector<Mapping> mappings_;  // by gpa
};

}  // namespace tapferry
