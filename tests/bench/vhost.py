# SPDX-License-Identifier: MIT
"""The fast path against what a tap costs by itself (vhost_floor), with neither QEMU nor DPDK."""
import contextlib
import os
import time

import bench_frames
import processes
from bench_world import OFFLOADS, PLAIN, Failed, Run, Turn, World

SINGLE = ["--coalesce=off"]
LARGE = 65000
BUFFERS_OF_LARGE = -(-(LARGE + 12) // 4096)
IN_LARGE = {"buffers": 64, "buffer_bytes": 65536}  # as much memory as 1024 buffers of 4096
RATES = (10_000, 50_000, 200_000)
SLOW = {"turn_ms": 200, "run_turns": 5}  # at a rate, and where things sleep


class Contenders:
    """What World.contest() starts: each method gives such a callable."""

    def __init__(self, world):
        self.world, self.files = world, world.files

    def plain(self, length):
        return self.files.get(f"plain{length}", lambda: bench_frames.plain(length))

    def send_floor(self, file, bridged=False, queues=1, **arguments):
        def start(stack, turn):
            tap = stack.enter_context(self.world.tap(bridged, queues))
            return self.world.floor(stack, turn, tap, do="write", frames=file, **arguments)
        return start

    def send(self, file, *options, bridged=False, queues=1, pairs=None, features=PLAIN, **arguments):
        def start(stack, turn):
            tap = stack.enter_context(self.world.tap(bridged, queues))
            backend = stack.enter_context(self.world.backend(tap, *options))
            return self.world.load(stack, turn, backend.path, features, send=file, pairs=pairs or queues, **arguments)
        return start

    def send_loop(self, file, rate):
        """An epoll loop that writes when it is kicked."""
        def start(stack, turn):
            tap = stack.enter_context(self.world.tap())
            kick = eventfd(stack)
            return self.world.floor(stack, turn, tap, {"kick_fd": kick, "rate": rate}, do="serve", frames=file, kick_fd=kick)
        return start

    def way_in(self, tap, bridged, kind, length):
        """Options of a vhost_load that sends frames to the tap's guest; KIND is a function of bench_frames."""
        name = f"{kind.__name__}{length}-{tap.name}"
        file = self.files.get(name, lambda: kind(length, to=tap.guest_mac))
        into = "veth1" if bridged else tap.name
        return {"into": self.world.copier(into) if kind is bench_frames.large else into, "packets": file}

    def receive_floor(self, kind, length, bridged=False, rate=None, **arguments):
        is_large = kind is bench_frames.large

        def start(stack, turn):
            tap = stack.enter_context(self.world.tap(bridged, large=is_large))
            partner = {**self.way_in(tap, bridged, kind, length), "rate": rate}
            what = {"do": "serve", "frames": self.plain(64)} if rate else {"do": "read"}
            return self.world.floor(stack, turn, tap, partner, **what, **(IN_LARGE if is_large else {}), **arguments)
        return start

    def receive(self, kind, length, *options, bridged=False, **arguments):
        is_large = kind is bench_frames.large
        more = {"buffers_per_frame": BUFFERS_OF_LARGE} if is_large else {}

        def start(stack, turn):
            tap = stack.enter_context(self.world.tap(bridged, large=is_large))
            backend = stack.enter_context(self.world.backend(tap, *options))
            return self.world.load(stack, turn, backend.path, OFFLOADS if is_large else PLAIN,
                                   **self.way_in(tap, bridged, kind, length), **more, **arguments)
        return start

    def engine(self, way, choice, burst):
        def start(stack, turn):
            tap = stack.enter_context(self.world.tap())
            partner = self.way_in(tap, False, bench_frames.cut_up, 64) if way == "read" else None
            return self.world.floor(stack, turn, tap, partner, do=f"engine-{way}", frames=self.plain(64), engine=choice, burst=burst)
        return start

    def request(self, tap):
        """A file with an echo request to the tap's own address."""
        with open(f"/sys/class/net/{tap.name}/address", encoding="ascii") as file:
            mac = bytes.fromhex(file.read().strip().replace(":", ""))
        return self.files.get(f"echo-{tap.name}", lambda: bench_frames.echo_request(mac, tap.guest_mac, *tap.addresses))

    def round_trip_loop(self):
        def start(stack, turn):
            tap = stack.enter_context(self.world.tap(address=True))
            kick, call = eventfd(stack), eventfd(stack)
            self.world.floor(stack, Turn(), tap, runs=1_000_000, do="serve", frames=self.request(tap), kick_fd=kick, call_fd=call)
            return self.world.load(stack, turn, kick_fd=kick, call_fd=call, round_trips=True)
        return start

    def round_trip(self, *options):
        def start(stack, turn):
            tap = stack.enter_context(self.world.tap(address=True))
            backend = stack.enter_context(self.world.backend(tap, *options))
            return self.world.load(stack, turn, backend.path, send=self.request(tap), round_trips=True)
        return start


def eventfd(stack):
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    stack.callback(os.close, fd)
    return fd


class Measures:
    """Each method takes one group of figures."""

    def __init__(self, world, report):
        self.world, self.report = world, report
        self.files, self.of = world.files, Contenders(world)
        self.shares = None

    def share(self):
        """Seconds of the measured core per second that the load itself takes."""
        if self.shares is None:
            with self.world.tap() as tap, self.world.backend(tap, *SINGLE) as backend:
                self.shares = self.world.share_of_load(backend, send=self.of.plain(64))
            self.report.note("the load's own share of the measured core", percent=100 * self.shares)
        return self.shares

    def compare(self, measure, base, others, bar=None, **turn):
        """BASE: (name, starter), without a load; OTHERS: name -> starter.  ns of CPU per frame."""
        share = self.share()
        try:
            runs = self.world.contest({base[0]: base[1], **others}, **turn)
        except (Failed, OSError) as error:
            self.report.failed(measure, error)
            return None
        costs = {name: [Run(**run).cost(0 if name == base[0] else share) for run in found] for name, found in runs.items()}
        own = costs.pop(base[0])
        self.report.compare(measure, (base[0], own), costs, bar)
        return {base[0]: own, **costs}

    def sending(self):
        self.report.heading("Guest to host, bursts of 16 and more, nothing merged: ns of CPU per frame")
        for length in (64, 1514):
            file = self.of.plain(length)
            for bridged in (False, True):
                self.compare(f"send {length} B, {place(bridged)}", ("write()", self.of.send_floor(file, bridged)),
                             {"split": self.of.send(file, *SINGLE, bridged=bridged),
                              "packed": self.of.send(file, *SINGLE, bridged=bridged, features=[*PLAIN, "ring_packed"])}, 0.90)
            self.compare(f"send {length} B, header in its own descriptor",
                         ("writev()", self.of.send_floor(file, own_header=True)),
                         {"split": self.of.send(file, *SINGLE, own_header=True)}, 0.90)

    def receiving(self):
        self.report.heading("Host to guest: ns of CPU per frame")
        for length in (64, 1514):
            for bridged in (False, True):
                frames = (bench_frames.cut_up, length)
                self.compare(f"receive {length} B, {place(bridged)}", ("read()", self.of.receive_floor(*frames, bridged)),
                             {"ours": self.of.receive(*frames, bridged=bridged)}, 0.85)

    def large(self):
        self.report.heading(f"GSO frames of {LARGE} bytes: ns of CPU per frame")
        out = self.files.get("large-out", lambda: bench_frames.large(LARGE))
        for bridged in (False, True):
            self.compare(f"send {LARGE} B, {place(bridged)}", ("write()", self.of.send_floor(out, bridged, **IN_LARGE)),
                         {"ours": self.of.send(out, bridged=bridged, features=OFFLOADS, ring=256, **IN_LARGE)}, 0.95)
            frames = (bench_frames.large, LARGE)
            self.compare(f"receive {LARGE} B, {place(bridged)}", ("read()", self.of.receive_floor(*frames, bridged)),
                         {"ours": self.of.receive(*frames, bridged=bridged),
                          "readv()": self.of.receive_floor(*frames, bridged, piece_bytes=4096)}, 0.95)

    def coalescing(self):
        self.report.heading("Coalescing, bridged, bursts of 16: ns of CPU per frame that the guest sent")
        burst = {"burst": 16, "in_flight": 32, "bridged": True}
        for payload, bar in ((64, 5.0), (512, None), (1448, 2.0)):
            file = self.files.get(f"flow{payload}", lambda n=payload: bench_frames.flow(n))
            whole = self.files.get(f"whole{payload}", lambda n=payload: bench_frames.flow(n, partial=False))
            for cut in (False, True):
                self.world.segments_on_the_way(cut)
                self.compare(f"flow, {payload} B of data, {'cut up again' if cut else 'kept whole'}",
                             ("write()", self.of.send_floor(file, True)),
                             {"merged": self.of.send(file, **burst), "full checksums": self.of.send(whole, **burst),
                              "not merged": self.of.send(file, *SINGLE, **burst)}, None if cut else bar)
            self.world.segments_on_the_way(False)
        for payload in (10, 1448):
            file = self.files.get(f"two{payload}", lambda n=payload: bench_frames.two_flows(n))
            for bridged in (False, True):
                self.compare(f"unmergeable, {payload} B of data, {place(bridged)}",
                             ("off", self.of.send(file, *SINGLE, bridged=bridged)), {"on": self.of.send(file, bridged=bridged)}, 0.97)

    def engines(self):
        self.report.heading("The engine's choice against always and never through the ring: ns of CPU per frame")
        for way in ("write", "read"):
            for burst in (1, 4, 16, 64):
                costs = self.compare(f"{way}, bursts of {burst}", ("auto", self.of.engine(way, "auto", burst)),
                                     {choice: self.of.engine(way, choice, burst) for choice in ("uring", "plain")})
                if costs:
                    middle = {name: sorted(values)[len(values) // 2] for name, values in costs.items()}
                    self.report.verdict(f"{way}, bursts of {burst}: better of both ÷ auto",
                                        min(middle["uring"], middle["plain"]) / middle["auto"], 0.97)

    def paced(self):
        self.report.heading("At a rate: ns of CPU per frame, wake-ups included")
        out, single = self.of.plain(64), (bench_frames.single, 64)
        for rate in RATES:
            self.compare(f"send 64 B, {rate // 1000} kpps", ("epoll loop", self.of.send_loop(out, rate)),
                         {"ours": self.of.send(out, rate=rate), "ours, epoll": self.of.send(out, "--engine=epoll", rate=rate)},
                         1 / 1.10, **SLOW)
            self.compare(f"receive 64 B, {rate // 1000} kpps", ("epoll loop", self.of.receive_floor(*single, rate=rate)),
                         {"ours": self.of.receive(*single, rate=rate),
                          "ours, epoll": self.of.receive(*single, "--engine=epoll", rate=rate)}, 1 / 1.10, **SLOW)

    def round_trips(self):
        self.report.heading("Round trip, one frame in flight, the host's kernel answers")
        runs = self.world.contest({"epoll loop": self.of.round_trip_loop(), "ours": self.of.round_trip(),
                                   "ours, epoll": self.of.round_trip("--engine=epoll")}, **SLOW)
        for key, bar in (("p50_us", 1 / 1.10), ("p99_us", None)):
            times = {name: [run[key] for run in found] for name, found in runs.items()}
            loop = times.pop("epoll loop")
            self.report.compare(f"round trip, {key[:3]}", ("epoll loop", loop), times, bar, "us")

    def two_queues(self):
        self.report.heading("Two queues, both threads on the measured core, as many buffers in all: ns of CPU per frame")
        for length in (64, 1514):
            file = self.of.plain(length)
            both = {"queues": 2, "features": [*PLAIN, "mq"]}
            self.compare(f"send {length} B, a tap with two queues", ("one in use", self.of.send(file, *SINGLE, pairs=1, **both)),
                         {"both": self.of.send(file, *SINGLE, shared=True, buffers=512, **both)}, 1 / 1.10)
            self.compare(f"send {length} B, no backend", ("one queue", self.of.send_floor(file)),
                         {"two queues": self.of.send_floor(file, queues=2)})

    def at_rest(self):
        """After large frames both ways; and what another queue adds."""
        self.report.heading("At rest, after large frames both ways")
        out = self.files.get("large-out", lambda: bench_frames.large(LARGE))
        for queues in (1, 2):
            features = [*OFFLOADS, "mq"] if queues > 1 else OFFLOADS
            with contextlib.ExitStack() as stack:
                tap = stack.enter_context(self.world.tap(queues=queues, large=True))
                backend = stack.enter_context(self.world.backend(tap))
                both = {**self.of.way_in(tap, False, bench_frames.large, LARGE), "send": out, "ring": 256, **IN_LARGE}
                self.world.alone(lambda stack, turn: self.world.load(stack, turn, backend.path, features, pairs=queues, **both))
                self.world.load(stack, Turn(1, 2), backend.path, features, runs=1_000_000, pairs=queues)
                time.sleep(2)
                before = wakeups(backend.pid)
                time.sleep(10)
                woken = wakeups(backend.pid) - before
                status = processes.status(backend.pid)
            own = int(status["VmRSS"].split()[0]) - int(status["RssShmem"].split()[0])
            self.report.note(f"{queues} queue{'s' if queues > 1 else ''}", wakeups_in_10_s=woken, resident_kib=own,
                             of_that_program_kib=int(status["RssFile"].split()[0]))


def place(bridged):
    return "bridged" if bridged else "unbridged"


def wakeups(pid):
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="ascii") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))
    return total


GROUPS = ("sending", "receiving", "large", "coalescing", "engines", "paced", "round_trips", "two_queues", "at_rest")


def run(box, report, groups=GROUPS):
    measures = Measures(World(box), report)
    for group in groups:
        try:
            getattr(measures, group)()
        except (Failed, OSError) as error:
            report.failed(group, error)
    box.delete_links()
