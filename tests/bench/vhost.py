# SPDX-License-Identifier: MIT
"""The fast path against what a tap costs by itself (vhost_floor), with neither QEMU nor DPDK."""
import os
import time

import bench_frames
import processes
from bench_world import OFFLOADS, PLAIN, Failed, World

SINGLE = ["--coalesce=off"]
LARGE = 65000
BUFFERS_OF_LARGE = -(-(LARGE + 12) // 4096)
FLOOR_OF_LARGE = {"buffers": 64, "buffer_bytes": 65536}  # as much memory as 1024 buffers of 4096
RATES = (10_000, 50_000, 200_000)
ROUND_TRIPS = int(os.environ.get("ROUND_TRIPS", "20000"))


class Measures:
    """Each method takes one group of figures; `ours` and `floor` give numbers for Report.compare()."""

    def __init__(self, world, report):
        self.world, self.report = world, report
        self.files = world.files
        self.shares = {}

    # runs

    def share(self, kind, **arguments):
        """Seconds of the measured core per second that the load itself takes; measured once for each kind."""
        if kind not in self.shares:
            with self.world.tap() as tap, self.world.backend(tap, *SINGLE) as backend:
                if "into" in arguments:
                    arguments["into"] = tap.name
                self.shares[kind] = self.world.share_of_load(backend.path, backend, **arguments)
        return self.shares[kind]

    @staticmethod
    def cost(run, share=0.0):
        """ns of the measured core per frame."""
        return (run.busy_s - share * run.seconds) * 1e9 / run.frames if run.frames else float("inf")

    def send_floor(self, file, bridged=False, **arguments):
        with self.world.tap(bridged) as tap:
            return self.cost(self.world.floor(tap, do="write", frames=file, **arguments))

    def send(self, file, *options, bridged=False, features=PLAIN, **arguments):
        share = self.share("send", send=file, **{k: v for k, v in arguments.items() if k == "buffer_bytes"})
        with self.world.tap(bridged) as tap, self.world.backend(tap, *options) as backend:
            return self.cost(self.world.load(backend.path, features, send=file, **arguments), share)

    def _way_in(self, tap, bridged):
        return "veth1" if bridged else tap.name

    def receive_floor(self, file, bridged=False, large=False, **arguments):
        with self.world.tap(bridged, large=large) as tap:
            partner = {"into": self._way_in(tap, bridged), "packets": file, **arguments}
            if "rate" in arguments:
                return self.cost(self.world.floor(tap, partner, do="serve", frames=file))
            return self.cost(self.world.floor(tap, partner, do="read", **(FLOOR_OF_LARGE if large else {})))

    def receive(self, file, *options, bridged=False, large=False, **arguments):
        share = self.share("receive", into="", packets=file)
        with self.world.tap(bridged, large=large) as tap, self.world.backend(tap, *options) as backend:
            more = {"buffers_per_frame": BUFFERS_OF_LARGE} if large else {}
            run = self.world.load(backend.path, OFFLOADS if large else PLAIN, into=self._way_in(tap, bridged), packets=file,
                                  **more, **arguments)
            return self.cost(run, share)

    # measures

    def sending(self):
        self.report.heading("Guest to host, bursts of 16 and more, nothing merged: ns of CPU per frame")
        for length in (64, 1514):
            file = self.files.get(f"plain{length}", lambda n=length: bench_frames.plain(n))
            for bridged in (False, True):
                where = "bridged" if bridged else "unbridged"
                self.report.compare(
                    f"send {length} B, {where}", ("write()", lambda f=file, b=bridged: self.send_floor(f, b)),
                    [("split", lambda f=file, b=bridged: self.send(f, *SINGLE, bridged=b)),
                     ("packed", lambda f=file, b=bridged: self.send(f, *SINGLE, bridged=b, features=[*PLAIN, "ring_packed"]))],
                    bar=0.90)
            self.report.compare(
                f"send {length} B, header in its own descriptor",
                ("writev()", lambda f=file: self.send_floor(f, own_header=True)),
                [("split", lambda f=file: self.send(f, *SINGLE, own_header=True))], bar=0.90)

    def receiving(self):
        self.report.heading("Host to guest: ns of CPU per frame")
        for length in (64, 1514):
            file = self.files.get(f"cut{length}", lambda n=length: bench_frames.cut_up(n))
            for bridged in (False, True):
                where = "bridged" if bridged else "unbridged"
                self.report.compare(
                    f"receive {length} B, {where}", ("read()", lambda f=file, b=bridged: self.receive_floor(f, b)),
                    [("ours", lambda f=file, b=bridged: self.receive(f, bridged=b))], bar=0.85)

    def large(self):
        self.report.heading(f"GSO frames of {LARGE} bytes: ns of CPU per frame")
        out = self.files.get("large-out", lambda: bench_frames.large(LARGE))
        into = self.files.get("large-in", lambda: bench_frames.large(LARGE, from_guest=False))
        in_large = {"buffers": 64, "buffer_bytes": 65536}
        for bridged in (False, True):
            where = "bridged" if bridged else "unbridged"
            self.report.compare(
                f"send {LARGE} B, {where}", ("write()", lambda b=bridged: self.send_floor(out, b, **FLOOR_OF_LARGE)),
                [("ours", lambda b=bridged: self.send(out, bridged=b, features=OFFLOADS, ring=256, **in_large))], bar=0.95)
            self.report.compare(
                f"receive {LARGE} B, {where}", ("read()", lambda b=bridged: self.receive_floor(into, b, large=True)),
                [("ours", lambda b=bridged: self.receive(into, bridged=b, large=True))], bar=0.95)

    def coalescing(self):
        self.report.heading("Coalescing, bridged, bursts of 16: ns of CPU per frame that the guest sent")
        burst = {"burst": 16, "in_flight": 32, "bridged": True}
        for payload, bar in ((64, 5.0), (512, None), (1448, 2.0)):
            file = self.files.get(f"flow{payload}", lambda n=payload: bench_frames.flow(n))
            full = self.files.get(f"whole{payload}", lambda n=payload: bench_frames.flow(n, partial=False))
            for cut in (False, True):
                self.world.segments_on_the_way(cut)
                far = "cut up again" if cut else "kept whole"
                self.report.compare(
                    f"one flow, {payload} B of data, {far}", ("write()", lambda f=file: self.send_floor(f, True)),
                    [("merged", lambda f=file: self.send(f, **burst)),
                     ("full checksums", lambda f=full: self.send(f, **burst)),
                     ("not merged", lambda f=file: self.send(f, *SINGLE, **burst))], bar=None if cut else bar)
            self.world.segments_on_the_way(False)
        for payload in (10, 1448):
            file = self.files.get(f"two{payload}", lambda n=payload: bench_frames.two_flows(n))
            for bridged in (False, True):
                self.report.compare(
                    f"unmergeable, {payload} B, {'bridged' if bridged else 'unbridged'}",
                    ("off", lambda f=file, b=bridged: self.send(f, *SINGLE, bridged=b)),
                    [("on", lambda f=file, b=bridged: self.send(f, bridged=b))], bar=0.97)

    def engines(self):
        self.report.heading("The engine's choice against always and never through the ring: ns of CPU per frame")
        out = self.files.get("plain64", lambda: bench_frames.plain(64))
        into = self.files.get("cut64", lambda: bench_frames.cut_up(64))

        def engine(way, choice, burst):
            with self.world.tap() as tap:
                partner = {"into": tap.name, "packets": into} if way == "read" else None
                file = None if way == "read" else out
                return self.cost(self.world.floor(tap, partner, do=f"engine-{way}", frames=file, engine=choice, burst=burst))
        for way in ("write", "read"):
            for burst in (1, 4, 16, 64):
                series = self.report.compare(f"{way}, bursts of {burst}", ("auto", lambda w=way, b=burst: engine(w, "auto", b)),
                                             [(c, lambda w=way, b=burst, c=c: engine(w, c, b)) for c in ("uring", "plain")])
                best = min(series["uring"].median, series["plain"].median)
                self.report.verdict(f"{way}, bursts of {burst}: better of both ÷ auto", best / series["auto"].median, 0.97)

    def paced(self):
        self.report.heading("At a rate: ns of CPU per frame, wake-ups included")
        out = self.files.get("plain64", lambda: bench_frames.plain(64))
        into = self.files.get("single64", lambda: bench_frames.single(64))
        for rate in RATES:
            self.report.compare(f"send 64 B, {rate // 1000} kpps", ("epoll loop", lambda r=rate: self.paced_floor(out, r)),
                                [("ours", lambda r=rate: self.send(out, rate=r)),
                                 ("ours, epoll", lambda r=rate: self.send(out, "--engine=epoll", rate=r))], bar=1 / 1.10)
            self.report.compare(f"receive 64 B, {rate // 1000} kpps",
                                ("epoll loop", lambda r=rate: self.receive_floor(into, rate=r)),
                                [("ours", lambda r=rate: self.receive(into, rate=r)),
                                 ("ours, epoll", lambda r=rate: self.receive(into, "--engine=epoll", rate=r))], bar=1 / 1.10)

    def paced_floor(self, file, rate):
        kick = os.eventfd(0, os.EFD_NONBLOCK)
        try:
            with self.world.tap() as tap:
                return self.cost(self.world.floor(tap, {"kick_fd": kick, "rate": rate}, do="serve", frames=file, kick_fd=kick))
        finally:
            os.close(kick)

    def round_trips(self):
        self.report.heading("Round trip, one frame in flight, the host's kernel answers: us (p99 in the rows below)")
        late = {}

        def keep(name, answer):
            late.setdefault(name, []).append(answer["p99_us"])
            return answer["p50_us"]

        def request(tap):
            with open(f"/sys/class/net/{tap.name}/address", encoding="ascii") as file:
                mac = bytes.fromhex(file.read().strip().replace(":", ""))
            return self.files.get(f"echo-{tap.name}", lambda: bench_frames.echo_request(mac))

        def floor():
            kick, call = os.eventfd(0, os.EFD_NONBLOCK), os.eventfd(0, os.EFD_NONBLOCK)
            try:
                with self.world.tap(address=True) as tap:
                    return keep("epoll loop", self.world.floor_round_trips(tap, request(tap), kick, call, ROUND_TRIPS))
            finally:
                os.close(kick)
                os.close(call)

        def ours(name, *options):
            with self.world.tap(address=True) as tap, self.world.backend(tap, *options) as backend:
                return keep(name, self.world.load(backend.path, send=request(tap), round_trips=ROUND_TRIPS))
        self.report.compare("round trip", ("epoll loop", floor),
                            [("ours", lambda: ours("ours")), ("ours, epoll", lambda: ours("ours, epoll", "--engine=epoll"))],
                            bar=1 / 1.10, unit="us")
        for name, times in late.items():
            self.report.note(f"round trip, p99, {name}", us=sorted(times)[len(times) // 2])

    def two_queues(self):
        self.report.heading("Two queues, both threads on the measured core: ns of CPU per frame")
        file = self.files.get("plain64", lambda: bench_frames.plain(64))

        def queues(count):
            share = self.share("send", send=file)
            with self.world.tap(queues=count) as tap, self.world.backend(tap, *SINGLE) as backend:
                features = [*PLAIN, "mq"] if count > 1 else PLAIN
                return self.cost(self.world.load(backend.path, features, send=file, pairs=count), share)
        self.report.compare("send 64 B", ("one queue", lambda: queues(1)), [("two queues", lambda: queues(2))], bar=1 / 1.10)

    def at_rest(self):
        """After large frames both ways; and what another queue adds."""
        self.report.heading("At rest, after large frames both ways")
        into = self.files.get("large-in", lambda: bench_frames.large(LARGE, from_guest=False))
        out = self.files.get("large-out", lambda: bench_frames.large(LARGE))
        for queues in (1, 2):
            features = [*OFFLOADS, "mq"] if queues > 1 else OFFLOADS
            with self.world.tap(queues=queues, large=True) as tap, self.world.backend(tap) as backend:
                self.world.load(backend.path, features, into=tap.name, packets=into, send=out, ring=256, pairs=queues,
                                buffers=64, buffer_bytes=65536)
                load = self.world.load_command(backend.path, features, pairs=queues, seconds_ms=60000)
                with self.world.beside(load):
                    time.sleep(2)
                    before = wakeups(backend.pid)
                    time.sleep(10)
                    woken = wakeups(backend.pid) - before
                    status = processes.status(backend.pid)
            own = int(status["VmRSS"].split()[0]) - int(status["RssShmem"].split()[0])
            self.report.note(f"{queues} queue{'s' if queues > 1 else ''}", wakeups_in_10_s=woken, resident_kib=own,
                             of_that_program_kib=int(status["RssFile"].split()[0]))


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
