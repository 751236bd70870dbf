# SPDX-License-Identifier: MIT
"""The base of tests of `tapferry monitor`: a running one whose JSON lines are collected as they come.

    watch = self.watch("v0")                     started, and the present state is there
    ip("link", "set", "v0", "mtu", "1400")
    watch.wait(lambda event: event.get("now", {}).get("mtu") == 1400)
    watch.state("v0")["mtu"]                     what all lines so far add up to
    watch.end()                                  exit status
"""
import json
import os
import signal
import subprocess
import threading
import time
import unittest

import sandbox
from vm_case import installed_command

SECONDS = 20  # after which what didn't come won't


class Watch:
    """A running monitor."""

    def __init__(self, box, command, arguments, user="alice", **options):
        self.process = box.popen([command, "monitor", "--json", *arguments], user, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, **options)
        self.events = []
        self._interfaces = {}  # by index
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            with self._news:
                self.events.append(event)
                if event["event"] == "removed":
                    self._interfaces.pop(event["ifindex"], None)
                elif "now" in event:
                    self._interfaces.setdefault(event["ifindex"], {}).update(event["now"])
                self._news.notify_all()

    def wait(self, wanted, why=""):
        """The first event, of those that came already too, that `wanted` is true of."""
        end = time.monotonic() + SECONDS
        seen = 0
        with self._news:
            while True:
                for event in self.events[seen:]:
                    if wanted(event):
                        return event
                seen = len(self.events)
                left = end - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self._reader.is_alive()):
                    raise AssertionError(f"{why or 'no such event'}: {self.events[-20:]}")
                self._news.wait(min(left, 0.2))

    def interfaces(self):
        """What the lines so far add up to: index -> state."""
        with self._news:
            return {index: dict(state) for index, state in self._interfaces.items()}

    def state(self, name):
        """The same of the interface that has this name now; None if there is none."""
        return next((state for state in self.interfaces().values() if state["ifname"] == name), None)

    def names_of_events(self):
        with self._news:
            return [event["event"] for event in self.events]

    def ended(self):
        """The exit status of one that ends by itself; all its lines have been read then."""
        status = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        return status

    def stderr(self):
        return self.process.stderr.read().decode()

    def end(self, with_signal=signal.SIGTERM):
        """The exit status after a signal."""
        self.process.send_signal(with_signal)
        return self.ended()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(SECONDS)
        self.process.stdout.close()
        self.process.stderr.close()


class MonitorCase(unittest.TestCase):
    """An empty network namespace but for lo."""

    @classmethod
    def setUpClass(cls):
        cls.box = sandbox.enter()
        cls.command = installed_command(cls.box)

    def setUp(self):
        self.box.delete_links()
        self.addCleanup(self.box.delete_links)

    def start(self, *arguments, user="alice", **options):
        """A monitor that has just been started; for those that may end at once."""
        watch = Watch(self.box, self.command, arguments, user, **options)
        self.addCleanup(watch.close)
        return watch

    def watch(self, *arguments, **options):
        """A monitor that has told what is there; the first argument is an interface that exists."""
        watch = self.start(*arguments, **options)
        name = arguments[0] if arguments and not arguments[0].startswith("-") else "lo"
        watch.wait(lambda event: event["event"] == "present" and event["ifname"] == name, "not present")
        return watch

    def lines(self, *arguments, user="alice", **options):
        """CompletedProcess of a monitor that ends by itself, in the form for people."""
        return self.box.run([self.command, "monitor", *arguments], user, **options)


def in_other_namespace(name):
    """Moves the interface into a network namespace that goes at once, and the interface with it."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    try:
        own = os.readlink("/proc/self/ns/net")
        sandbox.eventually(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != own)
        sandbox.ip("link", "set", name, "netns", str(holder.pid))
    finally:
        holder.kill()
        holder.wait()
