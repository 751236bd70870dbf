# SPDX-License-Identifier: MIT
"""DPDK's back-end in our place: testpmd between net_vhost and net_tap, one forwarding core, which it keeps busy whatever comes."""
import contextlib
import os
import shutil
import signal
import subprocess

import sandbox
import vhost
from bench_world import MEASURED, OTHER, STARTS_S, Failed, Run, World

TAP = "dtap0"
OPTIONS = ["--no-pci", "--no-telemetry", "--no-huge", "-m", "512", "-l", f"{OTHER},{MEASURED}", "--main-lcore", str(OTHER),
           "--file-prefix", "tapferry-bench"]
FORWARDING = ["--total-num-mbufs=16384", "--nb-cores=1", "--forward-mode=io", "--auto-start", "--stats-period", "3600"]


@contextlib.contextmanager
def backend(world, bridged=False):
    """testpmd as a vhost-user back-end on TAP; gives its socket and its process id."""
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
            yield path, process.pid
        finally:
            process.send_signal(signal.SIGCONT)
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


def send(world, file, bridged=False, **arguments):
    """A contender of World.contest(). testpmd is stopped while others have their turn."""
    def start(stack, turn):
        path, pid = stack.enter_context(backend(world, bridged))
        return world.load(stack, turn, path, send=file, stop_pid=pid, **arguments)
    return start


def run(box, report):
    if shutil.which("dpdk-testpmd") is None:
        report.failed("dpdk", Failed("dpdk-testpmd isn't installed"))
        return
    world = World(box)
    measures = vhost.Measures(world, report)
    share = measures.share()
    report.heading("Against DPDK net_vhost + net_tap, guest to host: frames per second of a busy core")
    for length, bar in ((64, 1.3), (1514, 1.6)):
        file = measures.of.plain(length)
        for bridged in (False, True):
            measure = f"send {length} B, {vhost.place(bridged)}"
            try:
                runs = world.contest({"DPDK": send(world, file, bridged), "ours": measures.of.send(file, *vhost.SINGLE, bridged=bridged)})
            except (Failed, OSError) as error:
                report.failed(measure, error)
                continue
            theirs = [Run(**run).rate / 1000 for run in runs["DPDK"]]
            ours = [1e6 / Run(**run).cost(share) for run in runs["ours"]]
            report.compare(measure, ("DPDK", theirs), {"ours": ours}, None if bridged else bar, "kpps", more_is_better=True)
    box.delete_links()
