# SPDX-License-Identifier: MIT
"""Where the fast path is measured: interfaces in a namespace of their own, the measured program alone on one core, the traffic
(vhost_load) and all else on the other.

    world = World(box)
    with world.tap() as tap, world.backend(tap) as backend:
        run = world.load(backend, send=file)            Run: frames, seconds, busy_s
"""
import contextlib
import dataclasses
import fcntl
import json
import os
import signal
import struct
import subprocess
import tempfile
import time

import bench_frames
import sandbox
import vhost_case
import vhost_frames as vf

MEASURED, OTHER = 1, 0  # cores
WINDOW_MS = int(os.environ.get("WINDOW_MS", "2000"))
STARTS_S, ENDS_S = 10, 60
TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454d0, 0x400454d8
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 = 1, 2, 4

PLAIN = ["version_1", "event_idx", "protocol_features", "mrg_rxbuf", "csum", "guest_csum", "indirect_desc"]
OFFLOADS = [*PLAIN, "guest_tso4", "guest_tso6", "host_tso4", "host_tso6"]


class Failed(Exception):
    """A measure can't be taken; says why."""


@dataclasses.dataclass
class Run:
    frames: int
    seconds: float
    busy_s: float  # of the measured core
    events: int = 0

    @property
    def ns_per_frame(self):
        """CPU of the measured core."""
        return self.busy_s * 1e9 / self.frames if self.frames else float("inf")

    @property
    def per_busy_second(self):
        return self.frames / self.busy_s

    @property
    def rate(self):
        return self.frames / self.seconds


def stay_on(*cores):
    return lambda: os.sched_setaffinity(0, cores)


@contextlib.contextmanager
def running(command, core, **options):
    process = subprocess.Popen(command, preexec_fn=stay_on(core), stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def answer_of(process, what):
    try:
        out, _ = process.communicate(timeout=ENDS_S + WINDOW_MS / 1000)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Failed(f"{what} doesn't end") from None
    if process.returncode != 0 or not out.strip():
        raise Failed(f"{what}: exit status {process.returncode}")
    return json.loads(out)


class World:
    """One namespace with br0: a tap that is made for each run, and veth0, beyond which the far side drops what it gets."""

    def __init__(self, box):
        os.sched_setaffinity(0, {OTHER})
        self.box = box
        self.directory = tempfile.mkdtemp(dir=sandbox.BASE)
        os.chmod(self.directory, 0o755)
        self.files = bench_frames.Files(self.directory)
        self.program = box.install(os.path.join(sandbox.BUILD, "tapferry-vhost"))
        with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w", encoding="ascii") as file:
            file.write("1")
        box.bridge("br0")
        sandbox.ip("link", "set", "br0", "type", "bridge", "mcast_snooping", "0")
        box.veth("veth0", "veth1", master="br0")
        self._run("bridge", "fdb", "add", bench_frames.FAR_MAC.hex(":"), "dev", "veth0", "master", "static")
        self.segments_on_the_way(False)
        self.numbers = iter(range(1 << 30))

    @staticmethod
    def _run(*command):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    @staticmethod
    def segments_on_the_way(on):
        """Whether the far side takes no GSO frames, so that the kernel cuts them up."""
        sandbox.ip("link", "set", "veth0", "gso_max_segs", "1" if on else "65535")

    @contextlib.contextmanager
    def tap(self, bridged=False, queues=1, large=False, address=False):
        """A fresh one, set up as a backend would for a guest that takes checksums to be completed (LARGE: and GSO frames)."""
        name = f"bt{next(self.numbers)}"
        tap = vhost_case.Tap(name, queues)
        try:
            for fd in tap.fds:
                fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", 12))
                fcntl.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | (TUN_F_TSO4 | TUN_F_TSO6 if large else 0))
            if bridged:
                sandbox.ip("link", "set", name, "master", "br0")
                # The last tap may be there still, and have the entry: the kernel closes an io_uring's files a little later.
                self._run("bridge", "fdb", "replace", vf.GUEST_MAC.hex(":"), "dev", name, "master", "static")
                sandbox.eventually(lambda: "state forwarding" in sandbox.ip("-d", "link", "show", name))
            if address:
                sandbox.ip("addr", "add", f"{ip_text(vf.HOST4)}/24", "dev", name)
                sandbox.ip("neigh", "add", ip_text(vf.GUEST4), "lladdr", vf.GUEST_MAC.hex(":"), "dev", name)
            yield tap
        finally:
            tap.close()

    @contextlib.contextmanager
    def backend(self, tap, *options, cores=(MEASURED,)):
        """tapferry-vhost on the measured core, or on others; a process with `path`, its socket."""
        path = f"{self.box.users['alice'].home}/{tap.name}.sock"
        command = [self.program, f"--socket-path={path}", "--tap-fd=" + ":".join(map(str, tap.fds)), *options]
        log = open(f"{self.directory}/backend.log", "w+", encoding="utf-8")  # noqa: SIM115
        process = self.box.popen(command, stderr=log, pass_fds=tap.fds, preexec_fn=stay_on(*cores))
        try:
            if not sandbox.eventually(lambda: os.path.exists(path) or process.poll() is not None, STARTS_S):
                raise Failed("tapferry-vhost doesn't listen")
            if process.poll() is not None:
                log.seek(0)
                raise Failed(f"tapferry-vhost: {log.read().strip()}")
            process.path = path
            yield process
        finally:
            process.terminate()
            process.wait(STARTS_S)
            log.close()

    def load_command(self, path=None, features=(), **arguments):
        """vhost_load; keyword arguments are its options, True stands for one without a value."""
        command = [os.path.join(sandbox.BUILD, "bench/vhost_load")]
        if path:
            command += [f"--socket={path}", "--features=" + ",".join(features)]
        arguments.setdefault("seconds_ms", WINDOW_MS)
        return command + words_of(arguments)

    def load(self, path, features=PLAIN, **arguments):
        """Runs it to its end; a Run."""
        with running(self.load_command(path, features, **arguments), OTHER, stdout=subprocess.PIPE, text=True,
                     pass_fds=fds_of(arguments)) as process:
            return result_of(answer_of(process, "vhost_load"))

    def floor(self, tap, partner=None, **arguments):
        """vhost_floor on the measured core to its end, while PARTNER (options of vhost_load) goes on beside it; a Run."""
        arguments.setdefault("seconds_ms", WINDOW_MS)
        command = [os.path.join(sandbox.BUILD, "bench/vhost_floor"), f"--tap-fd={tap.fds[0]}", *words_of(arguments)]
        with contextlib.ExitStack() as stack:
            if partner is not None:
                other = self.load_command(**partner, seconds_ms=WINDOW_MS * 10)
                stack.enter_context(running(other, OTHER, stdout=subprocess.DEVNULL, pass_fds=fds_of(partner)))
            process = stack.enter_context(running(command, MEASURED, stdout=subprocess.PIPE, text=True,
                                                  pass_fds=[tap.fds[0], *fds_of(arguments)]))
            return result_of(answer_of(process, "vhost_floor"))

    def floor_round_trips(self, tap, frames, kick_fd, call_fd, count):
        """Of vhost_floor as an epoll loop on the measured core: the load's answer."""
        command = [os.path.join(sandbox.BUILD, "bench/vhost_floor"), f"--tap-fd={tap.fds[0]}", f"--frames={frames}",
                   "--do=serve", f"--kick-fd={kick_fd}", f"--call-fd={call_fd}", "--seconds-ms=600000"]
        fds = [tap.fds[0], kick_fd, call_fd]
        with running(command, MEASURED, stdout=subprocess.DEVNULL, pass_fds=fds):
            load = self.load_command(kick_fd=kick_fd, call_fd=call_fd, round_trips=count)
            with running(load, OTHER, stdout=subprocess.PIPE, text=True, pass_fds=fds[1:]) as process:
                return result_of(answer_of(process, "vhost_load"))

    @staticmethod
    def beside(command):
        """That command on the other core, while the body runs."""
        return running(command, OTHER, stdout=subprocess.DEVNULL)

    def share_of_load(self, path, backend, **arguments):
        """What the load itself takes of the measured core: with a backend that is stopped.  Seconds per second."""
        command = self.load_command(path, PLAIN, warm_up_ms=500, **arguments)
        with running(command, OTHER, stdout=subprocess.PIPE, text=True) as process:
            time.sleep(0.3)  # connecting takes the backend's answers
            backend.send_signal(signal.SIGSTOP)
            try:
                run = result_of(answer_of(process, "vhost_load"))
            finally:
                backend.send_signal(signal.SIGCONT)
        return run.busy_s / run.seconds


def ip_text(address):
    return ".".join(map(str, address))


def words_of(arguments):
    return [f"--{key.replace('_', '-')}" + ("" if value is True else f"={value}")
            for key, value in arguments.items() if value is not None and value is not False]


def fds_of(arguments):
    return [value for key, value in arguments.items() if key.endswith("_fd") and value is not None]


def result_of(answer):
    if "p50_us" in answer:
        return answer
    return Run(**answer)
