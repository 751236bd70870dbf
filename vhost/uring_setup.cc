// SPDX-License-Identifier: MIT
#include "vhost/uring_setup.h"

#include <cerrno>
#include <memory>
#include <sys/uio.h>
#include <vector>

namespace tapferry {
namespace {

// All that a ring does: frames, and looking at descriptors.
constexpr std::array kOperations = {IORING_OP_READ,   IORING_OP_READV,    IORING_OP_WRITE,
                                    IORING_OP_WRITEV, IORING_OP_POLL_ADD, IORING_OP_POLL_REMOVE};

// Completions that wait at once are those of one burst and a few polls; more would be kept by the kernel and told later.
constexpr unsigned kCompletions = 512;

Error failed(const char* what, int result) { return Error::from_errno(what, "an io_uring", -result); }

// The best of what this kernel takes. DEFER_TASKRUN (6.1): completions of polls are told when the thread asks and don't interrupt it;
// COOP_TASKRUN (5.19) comes close. TASKRUN_FLAG: that there are some is seen without a call. SUBMIT_ALL (5.18): one
// refused entry doesn't stop those behind it.
Status make_ring(io_uring* ring, unsigned entries) {
  constexpr unsigned kAlways = IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL;
  constexpr unsigned kSingle = kAlways | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_TASKRUN_FLAG;
  constexpr std::array kFlags = {kSingle | IORING_SETUP_DEFER_TASKRUN, kSingle | IORING_SETUP_COOP_TASKRUN,
                                 kAlways | IORING_SETUP_COOP_TASKRUN, kAlways};
  int result = -EINVAL;
  for (const unsigned flags : kFlags) {
    io_uring_params parameters = {};
    parameters.flags = flags;
    parameters.cq_entries = kCompletions;
    result = io_uring_queue_init_params(entries, ring, &parameters);
    if (result != -EINVAL) break;
  }
  if (result < 0) return failed("set up", result);
  return {};
}

Status check_operations(io_uring* ring) {
  const std::unique_ptr<io_uring_probe, void (*)(io_uring_probe*)> probe(io_uring_get_probe_ring(ring),
                                                                         io_uring_free_probe);
  if (probe == nullptr) return Error("probe", "an io_uring", "the kernel doesn't tell its operations");
  for (const int operation : kOperations) {
    if (!io_uring_opcode_supported(probe.get(), operation)) {
      return Error("set up", "an io_uring", "the kernel lacks operation " + std::to_string(operation));
    }
  }
  if (!(ring->features & IORING_FEAT_EXT_ARG)) return Error("set up", "an io_uring", "the kernel lacks EXT_ARG");
  return {};
}

// `value` is an operation, flags of an entry or a registering operation, which share their place.
io_uring_restriction restriction(unsigned kind, unsigned value) {
  io_uring_restriction made = {};
  made.opcode = static_cast<uint16_t>(kind);
  made.sqe_op = static_cast<uint8_t>(value);
  return made;
}

Status restrict(io_uring* ring) {
  std::vector<io_uring_restriction> list;
  for (const unsigned operation : kOperations) list.push_back(restriction(IORING_RESTRICTION_SQE_OP, operation));
  list.push_back(restriction(IORING_RESTRICTION_SQE_FLAGS_ALLOWED, IOSQE_FIXED_FILE));
  list.push_back(restriction(IORING_RESTRICTION_SQE_FLAGS_REQUIRED, IOSQE_FIXED_FILE));
  // The eventfds of a queue come and go.
  list.push_back(restriction(IORING_RESTRICTION_REGISTER_OP, IORING_REGISTER_FILES_UPDATE));
  // By number: liburing 2.3's shared library has no symbol for the call of its own header, nor for enabling.
  const int result = io_uring_register(static_cast<unsigned>(ring->ring_fd), IORING_REGISTER_RESTRICTIONS, list.data(),
                                       static_cast<unsigned>(list.size()));
  if (result < 0) return failed("restrict", result);
  return {};
}

Status prepare(io_uring* ring, int tap_fd, int control_fd) {
  TRY(check_operations(ring));
  std::array<int, kUringFiles> files;
  files.fill(-1);
  files[kTapFile] = tap_fd;
  files[kControlFile] = control_fd;
  int result = io_uring_register_files(ring, files.data(), files.size());
  if (result < 0) return failed("register files with", result);
  // Saves a look-up in the descriptor table at each call; 5.18.
  (void)io_uring_register_ring_fd(ring);
  TRY(restrict(ring));
  result = io_uring_register(static_cast<unsigned>(ring->ring_fd), IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  if (result < 0) return failed("enable", result);
  return {};
}

// -EAGAIN or bytes when a read with these flags comes back at once, -EINPROGRESS when it stays posted.
int try_read(int tap_fd, int rw_flags) {
  io_uring ring;  // a throwaway: closing it takes a posted read along
  int result = io_uring_queue_init(2, &ring, 0);
  if (result < 0) return result;
  char byte = 0;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring);
  io_uring_prep_read(sqe, tap_fd, &byte, sizeof byte, 0);
  sqe->rw_flags = rw_flags;
  result = io_uring_submit(&ring);
  io_uring_cqe* cqe = nullptr;
  if (result == 1) result = io_uring_peek_cqe(&ring, &cqe) == 0 ? cqe->res : -EINPROGRESS;
  if (result == -EINPROGRESS) {
    // `byte` must not be written to once it is gone.
    sqe = io_uring_get_sqe(&ring);
    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY);
    sqe->user_data = 1;
    if (io_uring_submit_and_wait(&ring, 2) < 0) result = -EIO;
  }
  io_uring_queue_exit(&ring);
  return result;
}

}  // namespace

Result<int> probe_rw_flags(int tap_fd) {
  int result = 0;
  for (const int flags : {RWF_NOWAIT, 0}) {
    result = try_read(tap_fd, flags);
    if (result >= 0 || result == -EAGAIN) return flags;
    if (result != -EOPNOTSUPP) break;
  }
  if (result == -EINPROGRESS)
    return Error("read", "the tap through an io_uring", "an empty read doesn't come back, which takes Linux 6.4");
  // What else a tap answers (its interface is gone) it would answer to any engine.
  if (result == -EPERM || result == -ENOSYS || result == -ENOMEM) return failed("set up", result);
  return RWF_NOWAIT;
}

Status set_up_ring(io_uring* ring, unsigned entries, int tap_fd, int control_fd) {
  TRY(make_ring(ring, entries));
  Status prepared = prepare(ring, tap_fd, control_fd);
  if (!prepared.is_ok()) io_uring_queue_exit(ring);
  return prepared;
}

}  // namespace tapferry
