// SPDX-License-Identifier: MIT
#include "vhost/state_file.h"

#include <cerrno>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <utility>

namespace tapferry {

Result<StateFile> StateFile::open(int fd, unsigned rings) {
  const size_t bytes = rings * sizeof(RingRecord);
  const bool is_file = fd >= 0;
  const std::string name = is_file ? "descriptor " + std::to_string(fd) : "anonymous memory";
  if (is_file) {
    struct stat status;
    if (fstat(fd, &status) != 0) return Error::from_errno("look at", name, errno);
    // Of a shorter one the pages behind its end would raise SIGBUS.
    if (!S_ISREG(status.st_mode) || status.st_size < static_cast<off_t>(bytes)) {
      return Error("keep the rings' state in", name, "not a file of " + std::to_string(bytes) + " bytes or more")
          .with_hint("--state-fd takes a memfd of that size");
    }
  }
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, is_file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
  if (base == MAP_FAILED) return Error::from_errno("map", name, errno);
  return StateFile(static_cast<RingRecord*>(base), bytes);
}

StateFile::StateFile(StateFile&& other) noexcept
    : records_(std::exchange(other.records_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

StateFile& StateFile::operator=(StateFile&& other) noexcept {
  std::swap(records_, other.records_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

StateFile::~StateFile() {
  if (records_ != nullptr) munmap(records_, bytes_);
}

}  // namespace tapferry
