// SPDX-License-Identifier: MIT
#include "vhost/memory.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <sys/stat.h>
#include <utility>

#include "vhost/guest_access.h"

namespace tapferry {
namespace {

std::string name_of(const RegionSpec& region) {
  char text[64];
  snprintf(text, sizeof text, "guest memory 0x%llx+0x%llx", static_cast<unsigned long long>(region.gpa),
           static_cast<unsigned long long>(region.size));
  return text;
}

bool wraps(uint64_t begin, uint64_t size) { return begin > UINT64_MAX - size; }

// Neither sum wraps.
bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) { return a < b + b_size && b < a + a_size; }

// By words where they are aligned, by bytes else; never the same byte twice, which memcpy(3) doesn't promise.
void copy_once(uint8_t* to, const uint8_t* from, size_t length) {
  size_t done = 0;
  if (reinterpret_cast<uintptr_t>(from) % sizeof(uint64_t) == 0) {
    for (; length - done >= sizeof(uint64_t); done += sizeof(uint64_t)) {
      const uint64_t word = guest_load(reinterpret_cast<const uint64_t*>(from + done));
      memcpy(to + done, &word, sizeof word);
    }
  }
  for (; done < length; done++) to[done] = guest_load(from + done);
}

}  // namespace

Status GuestMemory::add(const RegionSpec& region, Fd fd) {
  if (region.size == 0) return Error("map", name_of(region), "it has no size");
  if (wraps(region.gpa, region.size) || wraps(region.uva, region.size)) {
    return Error("map", name_of(region), "address and size wrap");
  }
  struct stat file = {};
  if (fstat(fd.get(), &file) != 0) return Error::from_errno("look at", name_of(region), errno);
  for (Mapping& other : mappings_) {
    if (other.region == region && other.device == file.st_dev && other.inode == file.st_ino) {
      other.times++;
      return {};
    }
  }
  if (mappings_.size() >= kMaxSlots) {
    return Error("map", name_of(region), "there are " + std::to_string(kMaxSlots) + " regions already");
  }
  for (const Mapping& other : mappings_) {
    const RegionSpec& there = other.region;
    if (overlap(region.gpa, region.size, there.gpa, there.size) ||
        overlap(region.uva, region.size, there.uva, there.size)) {
      return Error("map", name_of(region), "it overlaps " + name_of(there));
    }
  }
  SharedMapping memory = TRY(SharedMapping::map(fd, region.mmap_offset, region.size, name_of(region)));
  const auto behind = std::find_if(mappings_.begin(), mappings_.end(),
                                   [&](const Mapping& other) { return other.region.gpa > region.gpa; });
  mappings_.insert(behind, Mapping{region, std::move(memory), file.st_dev, file.st_ino});
  return {};
}

Status GuestMemory::remove(const RegionSpec& region) {
  const auto found = std::find_if(mappings_.begin(), mappings_.end(), [&](const Mapping& mapping) {
    const RegionSpec& there = mapping.region;
    return there.gpa == region.gpa && there.size == region.size && there.uva == region.uva;
  });
  if (found == mappings_.end()) return Error("unmap", name_of(region), "there is no such region");
  if (--found->times == 0) mappings_.erase(found);
  return {};
}

Status GuestMemory::replace(const std::vector<RegionSpec>& regions, std::vector<Fd> fds) {
  clear();
  if (regions.size() != fds.size()) return Error("map", "guest memory", "not one descriptor for each region");
  for (size_t i = 0; i < regions.size(); i++) {
    Status added = add(regions[i], std::move(fds[i]));
    if (!added.is_ok()) {
      clear();
      return added;
    }
  }
  return {};
}

void GuestMemory::clear() { mappings_.clear(); }

const GuestMemory::Mapping* GuestMemory::find_gpa(uint64_t gpa) const {
  // So few are faster looked at one by one; QEMU's guests have two to five.
  constexpr size_t kFew = 8;
  if (mappings_.size() <= kFew) {
    for (const Mapping& mapping : mappings_) {
      if (gpa - mapping.region.gpa < mapping.region.size) return &mapping;
    }
    return nullptr;
  }
  auto behind = std::upper_bound(mappings_.begin(), mappings_.end(), gpa,
                                 [](uint64_t address, const Mapping& mapping) { return address < mapping.region.gpa; });
  if (behind == mappings_.begin()) return nullptr;
  --behind;
  return gpa - behind->region.gpa < behind->region.size ? &*behind : nullptr;
}

GuestMemory::Window GuestMemory::window_at(uint64_t gpa) const {
  const Mapping* const mapping = find_gpa(gpa);
  if (mapping == nullptr) return {};
  return {mapping->region.gpa, mapping->region.size, mapping->host()};
}

uint8_t* GuestMemory::at_gpa(uint64_t gpa, uint64_t length) const { return window_at(gpa).at(gpa, length); }

uint8_t* GuestMemory::at_uva(uint64_t uva, uint64_t length) const {
  for (const Mapping& mapping : mappings_) {
    const RegionSpec& region = mapping.region;
    const uint64_t offset = uva - region.uva;
    if (offset >= region.size) continue;
    return length <= region.size - offset ? mapping.host() + offset : nullptr;
  }
  return nullptr;
}

int GuestMemory::spans(uint64_t gpa, uint64_t length, iovec* iov, int room) const {
  int count = 0;
  while (length != 0) {
    const Window window = window_at(gpa);
    if (window.host == nullptr) return 0;
    const uint64_t here = std::min(length, window.size - (gpa - window.gpa));
    // Whether the rest is mapped decides between the two answers.
    if (count < room) iov[count] = {window.host + (gpa - window.gpa), here};
    count++;
    gpa += here;  // at most the region's end, which doesn't wrap
    length -= here;
  }
  return count <= room ? count : -1;
}

bool GuestMemory::copy_in(void* to, uint64_t gpa, size_t length) const {
  auto* out = static_cast<uint8_t*>(to);
  while (length != 0) {
    const Window window = window_at(gpa);
    if (window.host == nullptr) return false;
    const size_t here = std::min<uint64_t>(length, window.size - (gpa - window.gpa));
    copy_once(out, window.host + (gpa - window.gpa), here);
    out += here;
    gpa += here;
    length -= here;
  }
  return true;
}

uint64_t GuestMemory::gpa_of(const void* host) const {
  const auto address = reinterpret_cast<uintptr_t>(host);
  for (const Mapping& mapping : mappings_) {
    const uint64_t offset = address - reinterpret_cast<uintptr_t>(mapping.host());
    if (offset < mapping.region.size) return mapping.region.gpa + offset;
  }
  return UINT64_MAX;
}

}  // namespace tapferry
