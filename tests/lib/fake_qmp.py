# SPDX-License-Identifier: MIT
"""Stands in for QEMU's end of a QMP socket, where a real one wouldn't misbehave."""
import json
import os
import socket
import threading

GREETING = {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}


class FakeQmp:
    """Listens at PATH; `answer(command)` gives a list of objects or bytes to send, None to close the connection."""

    def __init__(self, path, answer=None, greeting=GREETING, owner=None):
        self.path = path
        self.commands = []  # every command but qmp_capabilities, in order
        self.fds = []       # received
        self._answer = answer or (lambda command: [{"return": {}}])
        self._greeting = greeting
        self._news = threading.Condition()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(path)
        if owner:
            os.chown(path, owner.uid, owner.gid)
        self._listening.listen()
        self._connection = None
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        try:
            self._connection, _ = self._listening.accept()
        except OSError:
            return
        with self._connection:
            if self._greeting is None:
                self._connection.recv(1)
                return
            self.say(self._greeting)
            waiting = b""
            while True:
                try:
                    data, fds, _flags, _peer = socket.recv_fds(self._connection, 65536, 16)
                except OSError:
                    return
                self.fds += fds
                waiting += data
                if not data:
                    return
                while b"\n" in waiting:
                    line, waiting = waiting.split(b"\n", 1)
                    if not self._execute(json.loads(line)):
                        return

    def _execute(self, command):
        if command["execute"] == "qmp_capabilities":
            self.say({"return": {}, "id": command["id"]})
            return True
        with self._news:
            self.commands.append(command)
            self._news.notify_all()
        answers = self._answer(command)
        if answers is None:
            return False
        for answer in answers:
            if isinstance(answer, dict) and ("return" in answer or "error" in answer):
                answer = {**answer, "id": command["id"]}
            self.say(answer)
        return True

    def say(self, something):
        """An object, or bytes as they are."""
        data = something if isinstance(something, bytes) else json.dumps(something).encode() + b"\r\n"
        try:
            self._connection.sendall(data)
        except BrokenPipeError:  # somebody who had enough
            pass

    def wait(self, count, seconds=20):
        """The first COUNT commands as (name, arguments)."""
        with self._news:
            if not self._news.wait_for(lambda: len(self.commands) >= count, seconds):
                raise AssertionError(f"only {self.commands}")
            return [(command["execute"], command.get("arguments")) for command in self.commands[:count]]

    def hang_up(self):
        self._connection.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._listening.close()
        if self._connection:
            self._connection.close()
        os.unlink(self.path)
        for fd in self.fds:
            os.close(fd)
