# SPDX-License-Identifier: MIT
"""DPDK's testpmd as a guest: its virtio-user device speaks vhost-user as a front-end.

    with Testpmd(box, socket_path, packed_vq=1, mrg_rxbuf=0) as guest:
        guest.forward("io")                 every frame that comes in goes out again
        guest.stop().received               what it has counted
"""
import contextlib
import dataclasses
import itertools
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

import sandbox

PROGRAM = shutil.which("dpdk-testpmd")
PROMPT = "testpmd> "
START_S, ANSWER_S = 30, 20
MEMORY_MB, BUFFERS = 256, 8192
LOG_LIMIT = 1 << 20
EPOLL_WAIT = "232"  # on x86-64
MULTI_SEGS = 0x8000  # RTE_ETH_TX_OFFLOAD_MULTI_SEGS

_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Counters:
    """A port's, since the latest clear()."""
    received: int
    missed: int
    sent: int


class Testpmd:
    """A running one. DEVICE are parameters of net_virtio_user: server, queues, packed_vq, in_order, mrg_rxbuf..."""

    def __init__(self, box, path, *options, user="alice", wait=True, **device):
        runtime = f"{sandbox.BASE}/home/{user}"
        arguments = "".join(f",{key}={value}" for key, value in device.items())
        queues = device.get("queues", 1)
        command = ["stdbuf", "-oL", PROGRAM, "--no-huge", "--no-pci", "--no-telemetry", "-m", str(MEMORY_MB), "-l", "0,1",
                   f"--file-prefix=t{next(_numbers)}", f"--vdev=net_virtio_user0,path={path}{arguments}", "--", "-i",
                   f"--total-num-mbufs={BUFFERS}", f"--rxq={queues}", f"--txq={queues}", f"--tx-offloads={MULTI_SEGS:#x}",
                   "--no-mlockall", "--mask-event=intr_lsc", *options]
        self._read = ""
        self._pending = b""
        # What other threads log is kept out of what they would tear apart: the prompt is written by the character.
        self._log = tempfile.TemporaryFile()
        self.process = box.popen(command, user, env={"XDG_RUNTIME_DIR": runtime}, stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=self._log)
        os.set_blocking(self.process.stdout.fileno(), False)
        if wait:
            try:
                self.wait_until_ready()
            except AssertionError:
                self.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def output(self):
        """All that it has said."""
        return self._read + self._text(self._pending) + self._text(os.pread(self._log.fileno(), LOG_LIMIT, 0))

    def wait_until_ready(self):
        self._read_until(PROMPT, START_S)

    def _read_until(self, text, seconds):
        """What came before TEXT, which is left out."""
        end = time.monotonic() + seconds
        fd = self.process.stdout.fileno()
        while text.encode() not in self._pending:
            if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"testpmd: no {text!r} after {seconds} s: {self.output}")
            data = os.read(fd, 65536)
            if not data:
                raise AssertionError(f"testpmd ended: {self.process.wait()}: {self.output}")
            self._pending += data
        found, _, self._pending = self._pending.partition(text.encode())
        self._read += self._text(found) + text
        return self._text(found)

    @staticmethod
    def _text(data):
        return data.decode(errors="replace")

    def do(self, command):
        """What it prints."""
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()
        return self._read_until(PROMPT, ANSWER_S)

    def set(self, words):
        """A setting, while it doesn't forward."""
        self.do(f"set {words}")

    def forward(self, mode, more=""):
        """io, rxonly or txonly, until stop()."""
        self.set(f"fwd {mode}")
        said = self.do(f"start {more}".strip())
        if f"{mode} packet forwarding" not in said:
            raise AssertionError(said)

    def stop(self):
        """The Counters."""
        self.do("stop")
        return self.counters()

    def clear(self):
        self.do("clear port stats all")

    def counters(self):
        text = self.do("show port stats 0")

        def number(name):
            return int(re.search(rf"{name}:\s*(\d+)", text)[1])
        return Counters(number("RX-packets"), number("RX-missed"), number("TX-packets"))

    def has_link(self):
        return "Link status: up" in self.do("show port info 0")

    def sleeps(self):
        """Whether the thread that follows the connection waits for the next event, and so has ended what it began."""
        tasks = f"/proc/{self.process.pid}/task"
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/comm", encoding="ascii") as comm, \
                    open(f"{tasks}/{task}/syscall", encoding="ascii") as call:
                if "intr" in comm.read():
                    return call.read().split()[0] == EPOLL_WAIT
        raise AssertionError("testpmd has no interrupt thread")

    def quit(self):
        """Its exit status after an orderly end."""
        self.process.stdin.write(b"quit\n")
        self.process.stdin.flush()
        end = time.monotonic() + ANSWER_S
        while select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                break
            self._read += self._text(data)
        return self.process.wait(ANSWER_S)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self._log.close()
