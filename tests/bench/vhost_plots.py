# SPDX-License-Identifier: MIT
"""CPU against rate, from nothing to all that goes: ours, an epoll loop without any virtqueue, DPDK; drawn by gnuplot."""
import os
import shutil
import subprocess

import bench_frames
import sandbox
import vhost
import vhost_dpdk
from bench_world import Failed, World

DIRECTORY = os.environ.get("PLOTS", os.path.join(sandbox.BUILD, "bench"))
RATES = (1, 10_000, 50_000, 100_000, 200_000, 400_000, 800_000, 1_600_000, 2_400_000)
SCRIPT = """
set terminal svg size 640,400 font 'sans-serif,12' noenhanced
set output '{output}'
set title '{title}'
set xlabel 'frames a second, thousands'
set ylabel 'share of one core, %'
set yrange [0:105]
set xrange [0:*]
set key bottom right
set grid
plot {plots}
"""
STYLE = "with linespoints pointtype 7 pointsize 0.5 linewidth 1.5"


class Curves:
    """For each contender the points (thousands of frames a second, percent of the core)."""

    def __init__(self, world):
        self.world, self.of = world, vhost.Contenders(world)
        self.out = self.of.plain(64)

    def point(self, start):
        runs = self.world.alone(start, runs=3, **vhost.SLOW)
        seconds = sum(run.seconds for run in runs)
        return sum(run.frames for run in runs) / seconds / 1000, 100 * sum(run.busy_s for run in runs) / seconds

    def send_ours(self, rate):
        return self.point(self.of.send(self.out, *vhost.SINGLE, rate=rate))

    def send_loop(self, rate):
        return self.point(self.of.send_loop(self.out, rate))

    def send_dpdk(self, rate):
        return self.point(vhost_dpdk.send(self.world, self.out, rate=rate))

    def receive_ours(self, rate):
        return self.point(self.of.receive(bench_frames.single, 64, rate=rate))

    def receive_loop(self, rate):
        return self.point(self.of.receive_floor(bench_frames.single, 64, rate=rate))


def points(report, name, function, rates):
    found = []
    for rate in rates:
        try:
            point = function(rate)
        except (Failed, OSError) as error:
            report.failed(name, error)
            break
        if not found or point[0] > found[-1][0]:
            found.append(point)
        if rate > 1 and point[0] * 1000 < rate * 0.9:  # more doesn't go
            break
    report.note(name, points=[[round(x, 1), round(y, 1)] for x, y in found])
    return found


def draw(name, title, curves):
    data, plots = "", []
    for curve, found in curves.items():
        block = f"${curve.replace(' ', '_').replace('-', '_')}"
        data += f"{block} << EOD\n" + "".join(f"{x:.1f} {y:.1f}\n" for x, y in found) + "EOD\n"
        plots.append(f"{block} title '{curve}' {STYLE}")
    os.makedirs(DIRECTORY, exist_ok=True)
    output = os.path.join(DIRECTORY, f"{name}.svg")
    script = data + SCRIPT.format(output=output, title=title, plots=", ".join(plots))
    subprocess.run(["gnuplot"], input=script, text=True, check=True)
    print(f"wrote {output}")


def run(box, report):
    if shutil.which("gnuplot") is None:
        report.failed("plots", Failed("gnuplot isn't installed"))
        return
    world = World(box)
    curves = Curves(world)
    report.heading("CPU against rate: points are (thousands of frames a second, % of a core)")
    sending = {"tapferry-vhost": points(report, "send, ours", curves.send_ours, RATES),
               "epoll loop": points(report, "send, epoll loop", curves.send_loop, RATES)}
    if shutil.which("dpdk-testpmd"):
        sending["DPDK"] = points(report, "send, DPDK", curves.send_dpdk, RATES[::2])
    draw("cpu-send", "Guest to host, 64 bytes a frame", sending)
    draw("cpu-receive", "Host to guest, 64 bytes a frame",
         {"tapferry-vhost": points(report, "receive, ours", curves.receive_ours, RATES[:-1]),
          "epoll loop": points(report, "receive, epoll loop", curves.receive_loop, RATES[:-1])})
    box.delete_links()
