# SPDX-License-Identifier: MIT
"""tapferry-vhost under the benchmarks' load generators (front_end --load): what goes at a rate that it can bear all arrives, and as
much as goes leaves it well."""
import json
import os
import subprocess
import unittest

import sandbox
from vhost_case import VhostCase, need_backend
from vhost_front import PROGRAM

RINGS = ([], ["--packed"], ["--in-order"], ["--packed", "--in-order", "--header=own"])


def setUpModule():
    need_backend()


class Load(VhostCase):
    def start(self, kind, *options, seconds=1):
        where = ["--interface=vt0"] if kind in ("inject", "bounce") else [f"--socket={self.socket}"]
        command = [os.path.join(sandbox.BUILD, PROGRAM), f"--load={kind}", *where, f"--seconds={seconds}", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        return process

    def end(self, process):
        out, err = process.communicate(timeout=20)
        self.assertEqual((process.returncode, err), (0, ""))
        return json.loads(out)

    def test_paced_frames_of_the_guest_all_leave(self):
        for engine in self.engines():
            backend = self.backend(engine)
            for ring in RINGS:
                self.at(*ring)
                sent = self.end(self.start("tx", "--rate=2000", "--burst=4", *ring, seconds=0.3))
                self.assertGreater(sent["frames"], 100)
                self.assertGreaterEqual(len(self.host.receive(sent["frames"], 0.5)), sent["frames"])
                self.host.silence(0.02)
            self.assertEqual(backend.end(), 0, backend.stderr())

    def test_paced_frames_of_the_host_all_arrive(self):
        for engine in self.engines():
            self.backend(engine)
            for ring in (RINGS[0], RINGS[3], ["--mergeable", "--offloads"]):
                self.at(*ring)
                guest = self.start("rx", *ring, seconds=1)
                sent = self.end(self.start("inject", "--rate=2000", "--burst=4", seconds=0.4))
                got = self.end(guest)
                self.assertGreater(got["frames"], 100)
                self.assertEqual(got["frames"], sent["frames"])

    def test_as_much_as_goes_breaks_nothing(self):
        for engine in self.engines():
            backend = self.backend(engine)
            for ring in (RINGS[0], RINGS[3]):
                self.at(*ring)
                got = self.end(self.start("tx", *ring, "--content=udp", seconds=0.4))
                self.assertGreater(got["frames"], 1000)
                guest = self.start("rx", *ring, seconds=0.8)
                self.assertGreater(self.end(self.start("inject", seconds=0.4))["frames"], 1000)
                self.assertGreater(self.end(guest)["frames"], 1000)
            while self.host.receive(100000, 0.01):
                pass
            self.assert_works(self.guest())
            self.assertEqual(backend.end(), 0, backend.stderr())

    def test_large_frames_of_the_guest_break_nothing(self):
        backend = self.backend()
        for ring in RINGS:
            got = self.end(self.start("tx", *ring, "--content=tcp", "--frame-bytes=65000", "--gso=1448", "--ring-size=64",
                                      seconds=0.3))
            self.assertGreater(got["frames"], 100)
        self.assertEqual(backend.end(), 0, backend.stderr())

    def test_round_trips_are_answered(self):
        for engine in self.engines():
            self.backend(engine)
            far = self.start("bounce", "--sleep", seconds=1.5)
            near = self.start("ping", "--sleep", seconds=0.7)
            self.assertGreater(self.end(near)["frames"], 100)
            self.end(far)

    def test_echoes_come_back(self):
        self.backend()
        guest = self.start("echo", seconds=1)
        self.end(self.start("inject", "--rate=1000", "--burst=1", seconds=0.5))
        self.assertGreater(self.end(guest)["frames"], 100)


if __name__ == "__main__":
    unittest.main()
