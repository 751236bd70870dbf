# SPDX-License-Identifier: MIT
"""DPDK's back-end in our place: testpmd between net_vhost and net_tap, one forwarding core, which it keeps busy whatever comes."""
import contextlib
import os
import shutil
import subprocess

import bench_frames
import sandbox
import vhost
from bench_world import MEASURED, OTHER, PLAIN, STARTS_S, Failed, World

TAP = "dtap0"
OPTIONS = ["--no-pci", "--no-telemetry", "--no-huge", "-m", "512", "-l", f"{OTHER},{MEASURED}", "--main-lcore", str(OTHER),
           "--file-prefix", "tapferry-bench"]
FORWARDING = ["--total-num-mbufs=16384", "--nb-cores=1", "--forward-mode=io", "--auto-start", "--stats-period", "3600"]


@contextlib.contextmanager
def backend(world, bridged=False):
    """testpmd as a vhost-user back-end on TAP; gives its socket."""
    path = f"{world.directory}/dpdk.sock"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    command = ["dpdk-testpmd", *OPTIONS, f"--vdev=net_vhost0,iface={path},queues=1", f"--vdev=net_tap0,iface={TAP}", "--",
               *FORWARDING]
    with open(f"{world.directory}/dpdk.log", "w+", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            if not sandbox.eventually(lambda: os.path.exists(path) and _is_up() or process.poll() is not None, STARTS_S):
                raise Failed("testpmd doesn't start")
            if process.poll() is not None:
                log.seek(0)
                raise Failed("testpmd: " + " / ".join(log.read().splitlines()[-3:]))
            if bridged:
                sandbox.ip("link", "set", TAP, "master", "br0")
            yield path
        finally:
            process.terminate()
            try:
                process.wait(STARTS_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _is_up():
    """Once it is, its rate of work counts; set up here if testpmd has only made it."""
    if not os.path.exists(f"/sys/class/net/{TAP}"):
        return False
    sandbox.ip("link", "set", TAP, "up")
    return True


def frames_taken():
    with open(f"/sys/class/net/{TAP}/statistics/rx_packets", encoding="ascii") as file:
        return int(file.read())


def send(world, file, bridged=False, rate=None):
    """A Run whose frames are those that came out of the tap."""
    with backend(world, bridged) as path:
        before = frames_taken()
        run = world.load(path, PLAIN, send=file, rate=rate, warm_up_ms=1000)
        taken = frames_taken() - before
    if not run.frames or taken < run.frames / 2:
        raise Failed(f"DPDK's tap had {taken} of {run.frames} frames")
    return run


def run(box, report):
    if shutil.which("dpdk-testpmd") is None:
        report.failed("dpdk", Failed("dpdk-testpmd isn't installed"))
        return
    world = World(box)
    measures = vhost.Measures(world, report)
    report.heading("Against DPDK net_vhost + net_tap, guest to host: frames per second of a busy core")
    for length, bar in ((64, 1.3), (1514, 1.6)):
        file = world.files.get(f"plain{length}", lambda n=length: bench_frames.plain(n))
        for bridged in (False, True):
            where = "bridged" if bridged else "unbridged"
            try:
                report.compare(f"send {length} B, {where}",
                               ("DPDK", lambda f=file, b=bridged: send(world, f, b).rate / 1000),
                               [("ours", lambda f=file, b=bridged: 1e6 / measures.send(f, *vhost.SINGLE, bridged=b))],
                               bar=None if bridged else bar, unit="kpps", more_is_better=True)
            except (Failed, OSError) as error:
                report.failed(f"DPDK, {length} B", error)
    box.delete_links()
