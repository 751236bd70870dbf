# SPDX-License-Identifier: MIT
"""A real guest's iperf3, both ways, over tapferry-vhost, QEMU's own tap netdev, and passt's vhost-user mode.

The guest is emulated, so its own processor is most of the work; what counts is how much goes through, and what all else costs:
the time of both cores less that of the thread that runs the guest, for each GiB.
"""
import contextlib
import os
import pathlib
import subprocess
import time

import guest
import guest_fetch
import sandbox
from bench_world import STARTS_S, Failed, World
from figures import ROUNDS

SECONDS = int(os.environ.get("STREAM_SECONDS", "4"))
GIB = 1 << 30
QEMU = "10.0"
DEVICE = f"virtio-net-pci,netdev=n,mac={guest.GUEST_MAC},romfile="
MEMORY = ["-object", "memory-backend-memfd,id=m,size=256M,share=on", "-machine", "memory-backend=m",
          "-name", "guest,debug-threads=on"]
PASST_MTU = 65520  # what passt tells a guest that asks by DHCP

# The host starts and stops its clock at these lines.
SCRIPT = f"""
mkdir /tmp
ip addr add {guest.GUEST_ADDRESS}/24 dev eth0
ip link set eth0 mtu %(mtu)d up
reach ready {guest.HOST_ADDRESS} 64 1
for way in out in; do
  reverse=; [ $way = in ] && reverse=-R
  iperf3 -c {guest.HOST_ADDRESS} -t 1 $reverse >/dev/null 2>&1
  result begin_$way now
  iperf3 -J -c {guest.HOST_ADDRESS} -t {SECONDS} $reverse >/log 2>&1
  result end_$way "$(grep -A 6 sum_received /log | sed -n 's/.*"bytes":[^0-9]*\\([0-9]*\\).*/\\1/p')"
done
"""


def busy_seconds():
    """Of all cores since boot."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(word) for word in file.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def guest_seconds(pid):
    """Of the thread that runs the guest's processor."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        words = (task / "stat").read_text(encoding="ascii")
        if "(CPU 0/TCG)" in words:
            fields = words.rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    raise Failed("QEMU has no thread CPU 0/TCG")


def children(pid):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        yield from map(int, (task / "children").read_text(encoding="ascii").split())


class Clock:
    """Hears of the guest's lines, and looks at processors then."""

    def __init__(self):
        self.at = {}

    def __call__(self, key, _):
        qemu = next((child for child in children(os.getpid()) if is_qemu(child)), None)
        if qemu is not None and key.startswith(("begin", "end")):
            self.at[key] = time.monotonic(), busy_seconds(), guest_seconds(qemu)

    def cost(self, way):
        """(seconds that passed, processor seconds besides the guest's)."""
        begin, end = self.at[f"begin_{way}"], self.at[f"end_{way}"]
        return end[0] - begin[0], (end[1] - begin[1]) - (end[2] - begin[2])


def is_qemu(pid):
    with open(f"/proc/{pid}/comm", encoding="ascii", errors="replace") as file:
        return file.read().startswith("qemu-system")


class Contest:
    def __init__(self, world, report):
        self.world, self.report = world, report
        folder = pathlib.Path(world.directory, "guest")
        folder.mkdir(mode=0o755)
        self.stage = guest.Stage(folder)
        self.vmm = guest.qemu(QEMU)
        self.files = {**guest.program_files("/usr/bin/iperf3")}
        self.files["bin/iperf3"] = self.files["usr/bin/iperf3"]
        self.results = {}

    def boot(self, name, network, mtu=1500, **options):
        clock = Clock()
        outcome = self.stage.boot(self.vmm, SCRIPT % {"mtu": mtu}, [*MEMORY, *network, "-device", DEVICE], files=self.files,
                                  on_result=clock, timeout_s=120 + 10 * SECONDS, **options)
        if outcome.results.get("finished") != "yes" or not outcome.results.get("end_in"):
            raise Failed(f"{name}: {outcome}")
        for way in ("out", "in"):
            seconds, cost = clock.cost(way)
            gib = int(outcome.results[f"end_{way}"]) / GIB
            self.results.setdefault((name, way, "rate"), []).append(gib * 8.59 / seconds)
            self.results.setdefault((name, way, "cost"), []).append(cost / gib)

    def ours(self, name):
        with self.world.tap(bridged=True) as tap, self.world.backend(tap, cores={0, 1}) as backend:
            os.chmod(os.path.dirname(backend.path), 0o755)
            self.boot(name, vhost_user(backend.path))

    def qemus_own(self, name):
        with self.world.tap(bridged=True) as tap:
            self.boot(name, ["-netdev", f"tap,id=n,fd={tap.fds[0]}"], pass_fds=tap.fds)

    def passts(self, name, mtu=1500):
        tree = guest_fetch.ensure("passt")
        path = f"{self.world.directory}/passt.sock"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        libraries = f"{tree}/usr/lib/x86_64-linux-gnu"
        command = [f"{libraries}/ld-linux-x86-64.so.2", "--library-path", libraries, f"{tree}/usr/bin/passt.avx2", "--vhost-user",
                   "-f", "-q", "-4", "-s", path, "-a", guest.GUEST_ADDRESS, "-n", "24", "-g", guest.HOST_ADDRESS, "-i", "out0",
                   "-m", str(mtu), "--map-host-loopback", guest.HOST_ADDRESS, "--runas", "0"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            if not sandbox.eventually(lambda: os.path.exists(path) or process.poll() is not None, STARTS_S) or process.poll():
                raise Failed("passt doesn't start")
            self.boot(name, vhost_user(path), mtu)
        finally:
            process.kill()
            process.wait()


def vhost_user(path):
    return ["-chardev", f"socket,id=c,path={path}", "-netdev", "vhost-user,id=n,chardev=c"]


def median(values):
    return sorted(values)[len(values) // 2]


def run(box, report):
    world = World(box)
    os.sched_setaffinity(0, {0, 1})
    sandbox.ip("addr", "add", f"{guest.HOST_ADDRESS}/24", "dev", "br0")
    # Where passt believes to send from.
    box.veth("out0", "out1")
    sandbox.ip("addr", "add", "198.51.100.2/24", "dev", "out0")
    sandbox.ip("route", "add", "default", "via", "198.51.100.1")
    report.heading(f"A guest of QEMU {QEMU} (emulated), iperf3 over TCP for {SECONDS} s each way, {ROUNDS} rounds in turn")
    try:
        contest = Contest(world, report)
    except guest_fetch.Unavailable as error:
        report.failed("guest", error)
        return
    contenders = [("tapferry-vhost", contest.ours), ("QEMU's tap", contest.qemus_own), ("passt", contest.passts),
                  (f"passt, MTU {PASST_MTU}", lambda name: contest.passts(name, PASST_MTU))]
    server = subprocess.Popen(["iperf3", "-s"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(ROUNDS):
            for name, start in list(contenders):
                try:
                    start(name)
                except (Failed, OSError, KeyError, guest_fetch.Unavailable) as error:
                    report.failed(name, str(error)[-600:])
                    contenders.remove((name, start))
    finally:
        server.kill()
        server.wait()
    for way, words in (("out", "guest to host"), ("in", "host to guest")):
        for name, _ in contenders:
            rates, costs = contest.results[name, way, "rate"], contest.results[name, way, "cost"]
            report.note(f"{words}, {name}", gbit_s=round(median(rates), 2), lowest=round(min(rates), 2),
                        highest=round(max(rates), 2), cpu_s_per_gib=round(median(costs), 2))
    box.delete_links()
