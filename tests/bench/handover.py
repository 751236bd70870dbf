# SPDX-License-Identifier: MIT
"""Hand-overs measured side by side with QEMU's own helper: wall times, and the ratios that docs/PERFORMANCE.md quotes."""
import os
import subprocess

import sandbox

ROUNDS = int(os.environ.get("HANDOVER_ROUNDS", "300"))
HOLD = int(os.environ.get("HOLD", "1000"))


def measure(user, *arguments):
    """Call -> list of figures, as tests/bench/handover.cc prints them."""
    done = subprocess.run([os.path.join(sandbox.BUILD, "bench/handover"), f"--uid={user.uid}", *arguments],
                          stdout=subprocess.PIPE, text=True, check=True)
    return {line.split()[0]: [float(figure) for figure in line.split()[1:]] for line in done.stdout.splitlines()}


def one_at_a_time(box, ours, qemus, report):
    calls = {"an empty process": "+/bin/true", "qemu-bridge-helper": f"{qemus};--use-vnet;--br=br0",
             "tapferry-helper --br": f"{ours};--use-vnet;--br=br0",
             "tapferry-helper --net": f"{ours};--net=bridge=br0",
             "tapferry-helper --net, 4 queues": f"{ours};--net=bridge=br1,queues=4"}
    box.policy("allow br0", "allow bridge=br1 queues=4")
    times = measure(box.users["alice"], f"--rounds={ROUNDS}", *calls.values())
    report.heading(f"One hand-over, wall time in us, {ROUNDS} rounds in turn")
    print(f"{'':34}{'median':>8}{'p10':>8}{'p90':>8}{'of QEMU':>9}")
    base = times[calls["qemu-bridge-helper"]][0]
    for name, call in calls.items():
        median, low, high = times[call]
        print(f"{name:34}{median:8.0f}{low:8.0f}{high:8.0f}{median / base:9.2f}")


def held_at_once(box, ours, qemus, report):
    report.heading(f"{HOLD} hand-overs held at once: median of the first and the last fifty, us")
    print(f"{'':34}{'first':>8}{'last':>8}{'ratio':>8}")
    for name, rule, call in (("qemu-bridge-helper", "allow br0", f"{qemus};--use-vnet;--br=br0"),
                             ("tapferry-helper, no quota", "allow br0", f"{ours};--use-vnet;--br=br0"),
                             (f"tapferry-helper, max={HOLD}", f"allow bridge=br0 max={HOLD}", f"{ours};--use-vnet;--br=br0")):
        box.policy(rule)
        first, last = measure(box.users["alice"], f"--hold={HOLD}", call)[call]
        print(f"{name:34}{first:8.0f}{last:8.0f}{last / first:8.2f}", flush=True)


def run(box, report):
    for bridge in ("br0", "br1"):
        box.bridge(bridge)
    box.qemu_conf("allow all")
    ours = box.install_helper()
    qemus = box.install_helper(sandbox.QEMU_HELPER, "qemu-bridge-helper")
    one_at_a_time(box, ours, qemus, report)
    held_at_once(box, ours, qemus, report)
    box.delete_links()
    size = os.path.getsize(ours)
    subprocess.run(["strip", "-o", f"{ours}.stripped", ours], check=True)
    print(f"\ntapferry-helper: {os.path.getsize(ours + '.stripped') // 1024} KiB stripped ({size // 1024} KiB with symbols)")
