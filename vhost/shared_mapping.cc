// SPDX-License-Identifier: MIT
#include "vhost/shared_mapping.h"

#include <cerrno>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "vhost/memory_guard.h"

namespace tapferry {
namespace {

// What offset and length of a mapping must be a multiple of. On hugetlbfs that is the huge page, which fstat(2) gives as the
// block size, and munmap(2) takes no less. Larger than a page does no harm elsewhere: only bytes inside the file are used.
uint64_t mapping_unit(const struct stat& file) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const auto block = static_cast<uint64_t>(file.st_blksize);
  const bool is_usable = block > page && block <= (uint64_t{1} << 30) && (block & (block - 1)) == 0;
  return is_usable ? block : page;
}

}  // namespace

SharedMapping::SharedMapping(SharedMapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      base_(std::exchange(other.base_, nullptr)),
      mapped_bytes_(std::exchange(other.mapped_bytes_, 0)) {}

SharedMapping& SharedMapping::operator=(SharedMapping&& other) noexcept {
  if (this == &other) return *this;
  reset();
  data_ = std::exchange(other.data_, nullptr);
  base_ = std::exchange(other.base_, nullptr);
  mapped_bytes_ = std::exchange(other.mapped_bytes_, 0);
  return *this;
}

void SharedMapping::reset() {
  if (base_ == nullptr) return;
  unguard_mapping(base_);
  munmap(base_, mapped_bytes_);
  data_ = nullptr;
  base_ = nullptr;
  mapped_bytes_ = 0;
}

Result<SharedMapping> SharedMapping::map(const Fd& fd, uint64_t offset, uint64_t size, std::string_view what) {
  if (size == 0) return Error("map", what, "it has no size");
  // Half of the address space is more than any mapping can be, and leaves room to round up without wrapping.
  constexpr uint64_t kMost = uint64_t{1} << 62;
  if (offset > kMost || size > kMost) return Error("map", what, "offset and size don't fit into an address space");
  struct stat file;
  if (fstat(fd.get(), &file) != 0) return Error::from_errno("map", what, errno);
  if (S_ISREG(file.st_mode) && static_cast<uint64_t>(file.st_size) < offset + size) {
    return Error("map", what, "its file is shorter than offset and size");
  }
  const uint64_t unit = mapping_unit(file);
  const uint64_t begin = offset / unit * unit;
  const uint64_t bytes = (offset + size - begin + unit - 1) / unit * unit;

  SharedMapping mapping;
  void* const base =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.get(), static_cast<off_t>(begin));
  if (base == MAP_FAILED) return Error::from_errno("map", what, errno);
  mapping.base_ = base;
  mapping.mapped_bytes_ = bytes;
  mapping.data_ = static_cast<uint8_t*>(base) + (offset - begin);
  TRY(guard_mapping(base, bytes));
  return mapping;
}

}  // namespace tapferry
