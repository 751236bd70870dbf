# SPDX-License-Identifier: MIT
"""The base of tests of tapferry-vhost: a tap, a backend on it that runs as a user, and a guest without a VM.

    backend = self.backend("--engine=epoll")      on self.tap; its socket is self.socket
    guest = self.guest(packed=True)               connected, rings started, receive buffers posted
    guest.send_frames(frame); self.host.receive() what the host's side of the tap gets
"""
import contextlib
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import tempfile
import time
import unittest

import processes
import sandbox
import vhost_frames
import vhost_front
from vhost_front import FEATURES, PROTOCOL, FrontEnd

TUNSETIFF = 0x400454ca
IFF_TAP, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x100, 0x1000, 0x4000
SOL_PACKET, PACKET_VNET_HDR, PACKET_OUTGOING, ETH_P_ALL = 263, 15, 4, 3
SO_RCVBUFFORCE, SO_SNDBUFFORCE = 33, 32
SECONDS = 10  # after which what didn't come won't
LARGEST = 1 << 17


def need_backend():
    """For setUpModule."""
    for name in ("tapferry-vhost", vhost_front.PROGRAM):
        if not os.path.exists(os.path.join(sandbox.BUILD, name)):
            raise unittest.SkipTest(f"{name} is not built (make)")


class Tap:
    """A tap of this process, with as many descriptors as queues."""

    def __init__(self, name, queues=1, mtu=1500):
        self.name = name
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (IFF_MULTI_QUEUE if queues > 1 else 0)
        self.fds = []
        for _ in range(queues):
            self.fds.append(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
            # A ring of io_uring lets go of its files some time after its process has ended.
            if not sandbox.eventually(lambda: self._attach(name, flags)):
                raise AssertionError(f"{name} is busy, or can't be had")
        with contextlib.suppress(FileNotFoundError), open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w",
                                                          encoding="ascii") as file:
            file.write("1")
        sandbox.ip("link", "set", name, "mtu", str(mtu), "up")

    def _attach(self, name, flags):
        try:
            fcntl.ioctl(self.fds[-1], TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        except OSError as error:
            # EINVAL: it is there still, and has another number of queues.
            if error.errno not in (errno.EBUSY, errno.EINVAL):
                raise
            return False
        return True

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []


class HostEnd:
    """The host's side of an interface: a packet socket that sees virtio-net headers (without num_buffers) too."""

    def __init__(self, name):
        self.name = name
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self.socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 64 << 20)
        self.socket.bind((name, ETH_P_ALL))

    def send(self, *frames, header=bytes(10)):
        for frame in frames:
            self.socket.send(header + frame)

    def receive_one(self, seconds=SECONDS):
        """(header, frame), None when nothing came."""
        end = time.monotonic() + seconds
        while select.select([self.socket], [], [], max(0, end - time.monotonic()))[0]:
            data, address = self.socket.recvfrom(LARGEST)
            if address[2] != PACKET_OUTGOING and not vhost_frames.is_chatter(data[10:16]):
                return data[:10], data[10:]
        return None

    def receive(self, count, seconds=SECONDS):
        """Frames without their headers, COUNT at most."""
        found = []
        while len(found) < count and (one := self.receive_one(seconds)) is not None:
            found.append(one[1])
        return found

    def silence(self, seconds=0.2):
        """What comes within that time, when nothing should."""
        return self.receive(1 << 30, seconds)

    def close(self):
        self.socket.close()


class Backend:
    """A running tapferry-vhost."""

    def __init__(self, process, path, log):
        self.process, self.path, self.log = process, path, log
        self._forgotten = 0

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process.poll() is None

    def stderr(self):
        """All that it has said, on stdout too."""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()[self._forgotten:]

    def forget(self):
        """stderr() is what comes from now on."""
        self._forgotten += len(self.stderr())

    def says(self, *words, seconds=SECONDS):
        """The first line with all of the words in it, once there is one."""
        def found():
            return next((line for line in self.stderr().splitlines() if all(word in line for word in words)), None)
        line = sandbox.eventually(found, seconds)
        if line is None:
            raise AssertionError(f"no line with {words}: {self.stderr()}")
        return line

    def end(self, number=signal.SIGTERM):
        """Its exit status after that signal."""
        if number:
            self.process.send_signal(number)
        return self.process.wait(SECONDS)

    def wakeups(self):
        """Times that each of its threads went to sleep by itself; thread id -> number."""
        found = {}
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{thread}/status", encoding="ascii") as file:
                fields = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
            found[int(thread)] = int(fields["voluntary_ctxt_switches"])
        return found

    def resident_kib(self, less_shared=True):
        """VmRSS; without what is mapped from files that are shared, as a guest's memory is."""
        status = processes.status(self.pid)
        total = int(status["VmRSS"].split()[0])
        return total - int(status["RssShmem"].split()[0]) if less_shared else total


class VhostCase(unittest.TestCase):
    """self.tap "vt0" and self.host on it; QUEUES and MTU are a class's to set."""
    QUEUES, MTU = 1, 1500
    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        cls.box = sandbox.enter()
        cls.program = cls.box.install(os.path.join(sandbox.BUILD, "tapferry-vhost"))
        cls.directory = f"{sandbox.BASE}/home/alice"

    def setUp(self):
        self.socket = f"{self.directory}/vhost.sock"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        self._last = None
        self.where = []
        self.make_tap(self.QUEUES, self.MTU)

    def make_tap(self, queues=1, mtu=1500, name="vt0"):
        """self.tap and self.host; those before of the same name must have been closed."""
        self.tap = Tap(name, queues, mtu)
        self.addCleanup(self.tap.close)
        self.host = HostEnd(name)
        self.addCleanup(self.host.close)

    def backend(self, *options, socket_option=None, net=None, helper=None, ready=True, **popen):
        """Started as alice on self.tap (NET: on what it gets from HELPER), listening on self.socket unless SOCKET_OPTION
        says otherwise.  READY: it must come to serve that socket; the one before is ended then."""
        if ready and self._last is not None and self._last.path == self.socket:
            self.stop(self._last)
        fds = [] if net else self.tap.fds
        interface = [f"--net={net}", f"--helper={helper}"] if net else ["--tap-fd=" + ":".join(map(str, fds))]
        log = tempfile.NamedTemporaryFile(dir=sandbox.BASE, prefix="vhost-", delete=False)  # noqa: SIM115
        command = [self.program, socket_option or f"--socket-path={self.socket}", *interface, *options]
        pass_fds = [*fds, *popen.pop("pass_fds", ())]
        process = self.box.popen(command, stdout=log, stderr=log, pass_fds=pass_fds, **popen)
        log.close()
        backend = Backend(process, self.socket, log.name)
        self.addCleanup(self.finish, backend)
        self._last = backend
        if ready:
            sandbox.eventually(lambda: " serves " in backend.stderr() or not backend.is_running(), SECONDS)
        if ready and not backend.is_running():
            raise AssertionError(f"the backend ended: {backend.stderr()}")
        return backend

    @staticmethod
    def stop(backend):
        if backend.is_running():
            backend.process.kill()
        backend.process.wait()

    def finish(self, backend):
        self.stop(backend)
        if "ERROR: " in backend.stderr() or "WARNING: ThreadSanitizer" in backend.stderr():
            raise AssertionError(backend.stderr())
        os.unlink(backend.log)

    def front(self):
        """A front-end that isn't connected."""
        front = FrontEnd()
        self.addCleanup(front.close)
        return front

    def connected(self, path=None):
        front = self.front()
        front.connect(path=path or self.socket)
        return front

    def guest(self, *more, without=(), packed=False, in_order=False, post=True, bytes=2048, queues=1, protocol=PROTOCOL,
              wanted=None, front=None, **start):
        """A connected guest with all usual features, MORE, not those WITHOUT; receive buffers of BYTES are posted."""
        front = front or self.connected()
        names = [*FEATURES, *more, *(["ring_packed"] if packed else []), *(["in_order"] if in_order else [])]
        names = [name for name in names if name not in without] if wanted is None else wanted
        front.negotiated = front.start(features=names, protocol=protocol, queues=queues, **start)
        front.header_bytes = 12 if {"version_1", "mrg_rxbuf"} & set(front.negotiated["features"]) else 10
        for queue in range(queues if post else 0):
            front.post(queue=queue, bytes=bytes)
        return front

    def engines(self):
        """Those that this kernel allows, as options; a failure says which it was."""
        for name in ("uring", "epoll"):
            if name == "uring" and not uring_is_allowed():
                continue
            self.where = [f"engine {name}"]
            yield f"--engine={name}"
        self.where = []

    def at(self, *words):
        """What a failure says besides the engine."""
        self.where = [*self.where[:1], *words]

    def _formatMessage(self, msg, standardMsg):
        where = getattr(self, "where", None)
        return super()._formatMessage(f"{msg or ''} [{', '.join(map(str, where))}]" if where else msg, standardMsg)

    # what goes through

    def assert_sends(self, guest, frames, headers=None, queue=0, **shape):
        """Each frame of the guest's comes out at the host's side, in order and nothing else."""
        guest.send_frames(*frames, queue=queue, header=headers or b"", **shape)
        got = self.host.receive(len(frames))
        self.assertEqual([summary(frame) for frame in got], [summary(frame) for frame in frames])
        self.assertTrue(got == list(frames), "the same lengths, other bytes")

    def assert_receives(self, guest, frames, queue=0, **options):
        """Each frame of the host's comes into the guest, in order."""
        self.host.send(*frames)
        got = guest.receive_frames(len(frames), queue, **options)
        self.assertEqual([summary(frame) for _, frame, _ in got], [summary(frame) for frame in frames])
        self.assertTrue([frame for _, frame, _ in got] == list(frames), "the same lengths, other bytes")
        return got

    def assert_works(self, guest, queue=0):
        """Frames pass both ways."""
        self.assert_sends(guest, [vhost_frames.numbered(60), vhost_frames.numbered(1514)], queue=queue)
        if self.QUEUES == 1:
            self.assert_receives(guest, [vhost_frames.numbered(60, False), vhost_frames.numbered(1514, False)], queue)


def same(got, frame):
    """Where two frames differ; empty if they don't."""
    if got == frame:
        return ""
    place = next((i for i, (a, b) in enumerate(zip(got, frame)) if a != b), min(len(got), len(frame)))
    return f"{len(got)} bytes, not {len(frame)}; the first that differs is {place}"


def summary(frame):
    """What a failure shows of a frame."""
    return f"{len(frame)} bytes, number {vhost_frames.number_of(frame)}" if len(frame) >= 18 else f"{len(frame)} bytes"


_uring = []


def uring_is_allowed():
    """By asking the kernel: io_uring_setup with a null parameter gives EFAULT (or EINVAL) where it is allowed. Before Linux 6.4 a tap
    can't be read by it without waiting."""
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 4):
        return False
    if not _uring:
        code = ("import ctypes, errno; c = ctypes.CDLL(None, use_errno=True); c.syscall(425, 1, None); "
                "print(ctypes.get_errno() in (errno.EFAULT, errno.EINVAL))")
        done = sandbox.enter().run(["/usr/bin/python3", "-c", code])
        _uring.append(done.stdout.strip() == "True")
    return _uring[0]
