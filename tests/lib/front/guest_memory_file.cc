// SPDX-License-Identifier: MIT
#include "tests/lib/front/guest_memory_file.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace tapferry::front {
namespace {

constexpr uint64_t kPage = 4096;
constexpr int kReserved = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

std::string object(uint64_t gpa) { return "guest memory at " + std::to_string(gpa); }

uint64_t buffer_class(uint64_t bytes) { return std::max<uint64_t>(2048, std::bit_ceil(bytes)); }

}  // namespace

Result<std::unique_ptr<GuestMemoryFile>> GuestMemoryFile::make() {
  void* window = mmap(nullptr, kWindow, PROT_NONE, kReserved, -1, 0);
  if (window == MAP_FAILED) return Error::from_errno("reserve", "the guest's address space", errno);
  return std::unique_ptr<GuestMemoryFile>(new GuestMemoryFile(static_cast<uint8_t*>(window)));
}

GuestMemoryFile::~GuestMemoryFile() { munmap(window_, kWindow); }

Status GuestMemoryFile::add(uint64_t gpa, uint64_t size, uint64_t offset) {
  const bool is_inside = gpa < kWindow && size > 0 && size <= kWindow - gpa;
  if (!is_inside || ((gpa | size | offset) % kPage) != 0)
    return Error("make", object(gpa), "not whole pages below 8 GiB");
  for (const GuestRegion& other : regions_) {
    if (gpa < other.gpa + other.size && other.gpa < gpa + size)
      return Error("make", object(gpa), "it overlaps another");
  }
  Fd file(memfd_create("guest", MFD_CLOEXEC));
  if (!file.is_open() || ftruncate(file.get(), static_cast<off_t>(offset + size)) != 0) {
    return Error::from_errno("make", object(gpa), errno);
  }
  void* mapped =
      mmap(at(gpa), size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file.get(), static_cast<off_t>(offset));
  if (mapped == MAP_FAILED) return Error::from_errno("map", object(gpa), errno);
  regions_.push_back({gpa, size, offset, std::move(file)});
  return {};
}

Status GuestMemoryFile::remove(size_t index) {
  if (index >= regions_.size()) return Error("remove", "guest memory", "no such region");
  const GuestRegion& region = regions_[index];
  void* mapped = mmap(at(region.gpa), region.size, PROT_NONE, kReserved | MAP_FIXED, -1, 0);
  if (mapped == MAP_FAILED) return Error::from_errno("unmap", object(region.gpa), errno);
  used_.erase(region.gpa);
  regions_.erase(regions_.begin() + static_cast<ptrdiff_t>(index));
  return {};
}

Status GuestMemoryFile::truncate(size_t index, uint64_t size) {
  if (index >= regions_.size()) return Error("truncate", "guest memory", "no such region");
  GuestRegion& region = regions_[index];
  if (ftruncate(region.file.get(), static_cast<off_t>(region.offset + size)) != 0) {
    return Error::from_errno("truncate", object(region.gpa), errno);
  }
  region.size = std::min(region.size, size);
  return {};
}

bool GuestMemoryFile::contains(uint64_t gpa, uint64_t length) const {
  while (length > 0) {
    const auto region = std::find_if(regions_.begin(), regions_.end(), [&](const GuestRegion& candidate) {
      return gpa >= candidate.gpa && gpa - candidate.gpa < candidate.size;
    });
    if (region == regions_.end()) return false;
    const uint64_t here = std::min(length, region->gpa + region->size - gpa);
    gpa += here;
    length -= here;
  }
  return true;
}

Result<uint64_t> GuestMemoryFile::allocate(uint64_t bytes, uint64_t alignment) {
  for (const GuestRegion& region : regions_) {
    uint64_t& used = used_[region.gpa];
    const uint64_t begin = ((region.gpa + used + alignment - 1) & ~(alignment - 1)) - region.gpa;
    if (begin > region.size || bytes > region.size - begin) continue;
    used = begin + bytes;
    return region.gpa + begin;
  }
  return Error("allocate", std::to_string(bytes) + " bytes of guest memory", "none is left");
}

Result<uint64_t> GuestMemoryFile::take_buffer(uint64_t bytes) {
  const uint64_t size = buffer_class(bytes);
  std::vector<uint64_t>& free = buffers_[size];
  if (free.empty()) return allocate(size, 64);
  const uint64_t gpa = free.back();
  free.pop_back();
  return gpa;
}

void GuestMemoryFile::return_buffer(uint64_t gpa, uint64_t bytes) { buffers_[buffer_class(bytes)].push_back(gpa); }

void GuestMemoryFile::release_all() {
  used_.clear();
  buffers_.clear();
}

}  // namespace tapferry::front
