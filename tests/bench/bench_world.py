# SPDX-License-Identifier: MIT
"""Where the fast path is measured: interfaces in a namespace of their own, the measured program alone on one core, the traffic
(vhost_load) and all else on the other. Contenders are there at the same time and take turns (tests/bench/window.h).

    world = World(box)
    def ours(stack, turn):
        tap = stack.enter_context(world.tap())
        backend = stack.enter_context(world.backend(tap))
        return world.load(stack, turn, backend.path, send=file)      a process, whose answer the runs are in
    runs = world.contest({"ours": ours, "floor": ...})               name -> its runs
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
from figures import ROUNDS

MEASURED, OTHER = 1, 0  # cores
TURN_MS = int(os.environ.get("TURN_MS", "60"))
RUN_TURNS = int(os.environ.get("RUN_TURNS", "10"))
STARTS_S, ENDS_S = 10, 300
TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454d0, 0x400454d8
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 = 1, 2, 4

PLAIN = ["version_1", "event_idx", "protocol_features", "mrg_rxbuf", "csum", "guest_csum", "indirect_desc"]
OFFLOADS = [*PLAIN, "guest_tso4", "guest_tso6", "host_tso4", "host_tso6"]


class Failed(Exception):
    """A measure can't be taken; says why."""


@dataclasses.dataclass
class Run:
    """Ten turns or so."""
    frames: int
    seconds: float
    busy_s: float  # of the measured core
    waited_s: float = 0  # in which somebody waited for a core
    events: int = 0

    def cost(self, share=0.0):
        """ns of the measured core per frame, but for SHARE, seconds a second that are somebody else's."""
        return (self.busy_s - share * self.seconds) * 1e9 / self.frames if self.frames else float("inf")

    @property
    def rate(self):
        return self.frames / self.seconds


@dataclasses.dataclass(frozen=True)
class Turn:
    """Whose turn it is of how many, and how long one lasts."""
    index: int = 0
    count: int = 1
    turn_ms: int = TURN_MS
    run_turns: int = RUN_TURNS
    runs: int = ROUNDS

    def words(self, runs=None):
        return words_of({"turn": self.index, "turns": self.count, "turn_ms": self.turn_ms, "guard_ms": self.turn_ms // 4,
                         "run_turns": self.run_turns, "runs": runs or self.runs, "watch_cpu": MEASURED})


ENDLESS = 1_000_000  # runs


def stay_on(*cores):
    """What a child does before it is executed."""
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


def answer_of(process):
    what = os.path.basename(process.args[0])
    try:
        out, _ = process.communicate(timeout=ENDS_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Failed(f"{what} doesn't end") from None
    if process.returncode != 0 or not out.strip():
        raise Failed(f"{what}: exit status {process.returncode}")
    return json.loads(out)


class World:
    """One namespace with br0: taps that come and go, and veth0, beyond which the far side drops what it gets."""

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
        self.run("bridge", "fdb", "add", bench_frames.FAR_MAC.hex(":"), "dev", "veth0", "master", "static")
        self.segments_on_the_way(False)
        self.taps = 0

    @staticmethod
    def run(*command):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    @staticmethod
    def segments_on_the_way(on):
        """Whether the far side takes no GSO frames, so that the kernel cuts them up."""
        sandbox.ip("link", "set", "veth0", "gso_max_size", "1000" if on else "65536")

    def copier(self, target):
        """An interface that sends what it gets 16 times to TARGET: a core that makes large frames is no faster than one that reads
        them, and what passes through memory on the way is most of the cost then."""
        name = f"c-{target}"
        if not os.path.exists(f"/sys/class/net/{name}"):
            self.box.veth(name, f"d-{target}")
            self.run("tc", "qdisc", "add", "dev", name, "clsact")
            self.run("tc", "filter", "add", "dev", name, "egress", "u32", "match", "u32", "0", "0",
                     *["action", "mirred", "egress", "mirror", "dev", target] * 16)
        return name

    @contextlib.contextmanager
    def tap(self, bridged=False, queues=1, large=False, address=False):
        """A fresh one, set up as a backend would for a guest that takes checksums to be completed (LARGE: and GSO frames). Its
        guest_mac is on no other."""
        self.taps += 1
        tap = vhost_case.Tap(f"bt{self.taps}", queues)
        tap.guest_mac = vf.GUEST_MAC[:4] + struct.pack("!H", self.taps)
        try:
            for fd in tap.fds:
                fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", 12))
                fcntl.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | (TUN_F_TSO4 | TUN_F_TSO6 if large else 0))
            if large:  # what waits is 65 MB else, beyond every cache
                sandbox.ip("link", "set", tap.name, "txqueuelen", "64")
            if bridged:
                sandbox.ip("link", "set", tap.name, "master", "br0")
                self.run("bridge", "fdb", "add", tap.guest_mac.hex(":"), "dev", tap.name, "master", "static")
                sandbox.eventually(lambda: "state forwarding" in sandbox.ip("-d", "link", "show", tap.name))
            if address:
                tap.addresses = [bytes((10, 77, self.taps, host)) for host in (1, 2)]  # its own and the guest's
                sandbox.ip("addr", "add", f"{ip_text(tap.addresses[0])}/24", "dev", tap.name)
                sandbox.ip("neigh", "add", ip_text(tap.addresses[1]), "lladdr", tap.guest_mac.hex(":"), "dev", tap.name)
            yield tap
        finally:
            if os.path.exists(f"/sys/class/net/c-{tap.name}"):
                sandbox.ip("link", "del", f"c-{tap.name}")
            tap.close()

    @contextlib.contextmanager
    def backend(self, tap, *options, cores=(MEASURED,)):
        """tapferry-vhost on the measured core, or on others; a process with `path`, its socket."""
        path = f"{self.box.users['alice'].home}/{tap.name}.sock"
        command = [self.program, f"--socket-path={path}", "--tap-fd=" + ":".join(map(str, tap.fds)), *options]
        log = open(f"{self.directory}/{tap.name}.log", "w+", encoding="utf-8")  # noqa: SIM115
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

    @staticmethod
    def load(stack, turn, path=None, features=PLAIN, runs=None, **arguments):
        """Starts vhost_load; keyword arguments are its options, True stands for one without a value."""
        command = [os.path.join(sandbox.BUILD, "bench/vhost_load"), *turn.words(runs), *words_of(arguments)]
        if path:
            command += [f"--socket={path}", "--features=" + ",".join(features)]
        return stack.enter_context(running(command, OTHER, stdout=subprocess.PIPE, text=True, pass_fds=fds_of(arguments)))

    def floor(self, stack, turn, tap, partner=None, runs=None, **arguments):
        """Starts vhost_floor on the measured core, and with it PARTNER, options of a vhost_load."""
        command = [os.path.join(sandbox.BUILD, "bench/vhost_floor"), f"--tap-fd={tap.fds[0]}", *turn.words(runs),
                   *words_of(arguments)]
        if partner is not None:
            self.load(stack, turn, runs=ENDLESS, **partner)
        return stack.enter_context(running(command, MEASURED, stdout=subprocess.PIPE, text=True,
                                           pass_fds=[tap.fds[0], *fds_of(arguments)]))

    @staticmethod
    def contest(contenders, **turn):
        """CONTENDERS: name -> callable that starts one, given an ExitStack and its Turn. Name -> runs as they were told."""
        with contextlib.ExitStack() as stack:
            processes = {name: start(stack, Turn(index, len(contenders), **turn))
                         for index, (name, start) in enumerate(contenders.items())}
            return {name: answer_of(process)["runs"] for name, process in processes.items()}

    def alone(self, start, **turn):
        """The runs of one by itself."""
        return [Run(**run) for run in self.contest({"": start}, **turn)[""]]

    def share_of_load(self, backend, **arguments):
        """What the load itself takes of the measured core: with a backend that is stopped.  Seconds per second."""
        with contextlib.ExitStack() as stack:
            process = self.load(stack, Turn(runs=3, run_turns=1, turn_ms=500), backend.path, **arguments)
            time.sleep(0.3)  # connecting takes the backend's answers
            backend.send_signal(signal.SIGSTOP)
            try:
                run = Run(**answer_of(process)["runs"][-1])  # the first one began before the backend was stopped
            finally:
                backend.send_signal(signal.SIGCONT)
        return max(0.0, run.busy_s / run.seconds)


def ip_text(address):
    return ".".join(map(str, address))


def words_of(arguments):
    return [f"--{key.replace('_', '-')}" + ("" if value is True else f"={value}")
            for key, value in arguments.items() if value is not None and value is not False]


def fds_of(arguments):
    return [value for key, value in arguments.items() if key.endswith("_fd") and value is not None]
