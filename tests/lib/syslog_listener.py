# SPDX-License-Identifier: MIT
"""A stand-in for the syslog daemon: binds /dev/log and keeps each line with its sender's ids."""
import array
import dataclasses
import os
import socket
import struct
import threading
import time

UCRED = struct.Struct("iII")  # struct ucred, unix(7)


@dataclasses.dataclass(frozen=True)
class Line:
    pid: int
    uid: int
    gid: int
    text: str  # with its <priority>


class SyslogListener:
    """Reads in a thread of its own, so that no sender ever waits."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(path)
        os.chmod(path, 0o666)
        self._lines = []
        self._arrived = threading.Condition()
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self):
        room = socket.CMSG_SPACE(UCRED.size) + socket.CMSG_SPACE(array.array("i").itemsize)
        while True:
            data, control, _flags, _peer = self._socket.recvmsg(65536, room)
            ids = (0, 0xffffffff, 0xffffffff)
            for level, kind, payload in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    ids = UCRED.unpack(payload[:UCRED.size])
            text = data.rstrip(b"\0\n").decode(errors="replace")
            with self._arrived:
                self._lines.append(Line(*ids, text))
                self._arrived.notify_all()

    def clear(self):
        with self._arrived:
            self._lines.clear()

    def lines(self, at_least=0, seconds=2.0):
        """The lines so far; waits up to SECONDS until there are AT_LEAST so many."""
        end = time.monotonic() + seconds
        with self._arrived:
            while len(self._lines) < at_least and time.monotonic() < end:
                self._arrived.wait(end - time.monotonic())
            return list(self._lines)
