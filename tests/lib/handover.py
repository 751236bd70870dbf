# SPDX-License-Identifier: MIT
"""Stand in for the VMM: start a helper with one end of a socket pair and look at all that comes back.

    with handover.qemu(box, helper, "br0", user="alice") as got:
        got.status, got.stderr, got.data, got.taps[0].name, got.link.master

The descriptors stay open, and so do the interfaces, until the record is closed.
"""
import array
import dataclasses
import fcntl
import json
import os
import random
import select
import socket
import struct
import subprocess
import time

import links

TUNGETIFF, TUNGETVNETHDRSZ = 0x800454d2, 0x800454d7  # linux/if_tun.h
IFF_TAP, IFF_MULTI_QUEUE, IFF_PERSIST, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x100, 0x800, 0x1000, 0x4000
FLAG_NAMES = {0x1: "tun", IFF_TAP: "tap", IFF_MULTI_QUEUE: "multi_queue", IFF_PERSIST: "persist",
              IFF_NO_PI: "no_pi", IFF_VNET_HDR: "vnet_hdr"}
MAX_FDS = 253  # SCM_MAX_FD, net/scm.h


@dataclasses.dataclass
class TapFd:
    """One received descriptor."""
    fd: int
    name: str = ""        # "" when it is no tap
    flags: int = 0
    header_size: int = 0
    nonblocking: bool = False
    cloexec: bool = False

    @property
    def flag_names(self):
        return sorted(name for bit, name in FLAG_NAMES.items() if self.flags & bit)


def inspect(fd):
    """TapFd of a descriptor by TUNGETIFF and its kin."""
    tap = TapFd(fd, nonblocking=bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK),
                cloexec=bool(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC))
    request = bytearray(40)  # struct ifreq
    try:
        fcntl.ioctl(fd, TUNGETIFF, request)
    except OSError:
        return tap
    tap.name = request[:16].split(b"\0")[0].decode()
    tap.flags = struct.unpack_from("H", request, 16)[0]
    size = bytearray(4)
    fcntl.ioctl(fd, TUNGETVNETHDRSZ, size)
    tap.header_size = struct.unpack("i", size)[0]
    return tap


@dataclasses.dataclass
class Handover:
    """What a helper did; close() it (or use `with`) to drop the descriptors."""
    status: int                 # exit status, negative for a signal
    stderr: str
    stdout: str
    messages: list              # (bytes, number of fds) of each recvmsg
    taps: list                  # TapFd of each descriptor, in order
    eof: bool                   # nobody else holds the helper's end of the socket
    link: links.Link = None     # the first tap's interface, when it was received

    @property
    def data(self):
        return b"".join(part for part, _ in self.messages)

    @property
    def fds(self):
        return [tap.fd for tap in self.taps]

    @property
    def record(self):
        """The JSON record of the --net form; key order kept."""
        return json.loads(self.data)

    @property
    def ok(self):
        return self.status == 0 and bool(self.taps)

    def close(self):
        for tap in self.taps:
            os.close(tap.fd)
        self.taps = []

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()


def receive(sock, flags=socket.MSG_DONTWAIT):
    """One message: (bytes, [fd...]), or None when there is nothing (more) to read."""
    room = socket.CMSG_SPACE(MAX_FDS * array.array("i").itemsize)
    try:
        data, control, _flags, _peer = sock.recvmsg(65536, room, flags)
    except (BlockingIOError, ConnectionResetError):
        return None
    fds = array.array("i")
    for level, kind, payload in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(payload[:len(payload) - len(payload) % fds.itemsize])
    return data, list(fds)


def drain(sock, seconds=0.0):
    """(messages, fds, eof): all that is waiting on SOCK; for up to SECONDS its end is waited for."""
    messages, fds = [], []
    end = time.monotonic() + seconds
    while True:
        got = receive(sock)
        if got is None:
            left = end - time.monotonic()
            if left > 0 and select.select([sock], [], [], left)[0]:
                continue
            return messages, fds, False
        data, more = got
        if not data and not more:
            return messages, fds, True
        messages.append((data, len(more)))
        fds += more


def kill_at_random(box, helper, spec, seconds):
    """A helper that is killed at some moment within SECONDS; whether anything came, which nobody holds any more."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = box.popen([helper, f"--net={spec}", f"--fd={theirs.fileno()}"], pass_fds=[theirs.fileno()],
                            stderr=subprocess.DEVNULL)
        time.sleep(random.random() * seconds)
        process.kill()
        process.wait()
        got = receive(ours)
    for fd in got[1] if got else []:
        os.close(fd)
    return got is not None and bool(got[0])


def ask(box, helper, arguments, user="alice", kind=socket.SOCK_STREAM, timeout=20, wrap=(), look=True,
        eof_seconds=1.0, **options):
    """Run HELPER with ARGUMENTS ("{fd}" in them becomes the socket's number) as USER in sandbox BOX.
    WRAP goes before the helper on the command line; OPTIONS go to box.popen().  LOOK=False leaves
    out asking ip(8) for the interface, where speed counts.  For up to EOF_SECONDS the socket's end is waited for: after
    a grant that it had no part in, the maker may not even have begun to let go of what it inherited."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    with ours:
        with theirs:
            command = [*wrap, helper, *(word.replace("{fd}", str(theirs.fileno())) for word in arguments)]
            options.setdefault("stdout", subprocess.PIPE)
            options.setdefault("stderr", subprocess.PIPE)
            options["pass_fds"] = (*options.pop("pass_fds", ()), theirs.fileno())
            proc = box.popen(command, user, **options)
        try:
            out, err = proc.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            proc.kill()
            proc.communicate()
            raise
        messages, fds, eof = drain(ours, eof_seconds)
    got = Handover(proc.returncode, (err or b"").decode(errors="replace"),
                   (out or b"").decode(errors="replace"), messages, [inspect(fd) for fd in fds], eof)
    if look and got.taps and got.taps[0].name:
        got.link = links.get(got.taps[0].name)
    return got


def qemu(box, helper, bridge, user="alice", vnet=True, **options):
    """Ask as QEMU does: --use-vnet --fd=N --br=BRIDGE."""
    return ask(box, helper, [*(["--use-vnet"] if vnet else []), "--fd={fd}", f"--br={bridge}"], user,
               **options)


def net(box, helper, spec, user="alice", **options):
    """Ask with --net=SPEC --fd=N."""
    return ask(box, helper, [f"--net={spec}", "--fd={fd}"], user, **options)
