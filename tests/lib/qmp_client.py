# SPDX-License-Identifier: MIT
"""Asks a running QEMU by its QMP socket (QEMU's docs/interop/qmp-spec)."""
import contextlib
import json
import socket

import sandbox

SECONDS = 30


class Qmp:
    """A connection; QEMU may still be about to make its socket."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)

        def connect():
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                self._socket.connect(path)
                return True
            return False

        if not sandbox.eventually(connect, SECONDS):
            raise AssertionError(f"no QEMU at {path}")
        self._socket.settimeout(SECONDS)
        self._lines = self._socket.makefile("rb")
        self._lines.readline()  # its greeting
        self.do("qmp_capabilities")

    def do(self, command, **arguments):
        """What it returns; events are passed over."""
        self._socket.sendall(self._line(command, arguments))
        return self._answer(command)

    def send_fd(self, name, fd):
        """getfd: QEMU keeps a copy of the descriptor by that name."""
        socket.send_fds(self._socket, [self._line("getfd", {"fdname": name})], [fd])
        self._answer("getfd")

    @staticmethod
    def _line(command, arguments):
        return json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"

    def _answer(self, command):
        while True:
            line = self._lines.readline()
            if not line:
                raise AssertionError(f"{command}: QEMU has closed the connection")
            answer = json.loads(line)
            if "error" in answer:
                raise AssertionError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def close(self):
        self._lines.close()
        self._socket.close()
