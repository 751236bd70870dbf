#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tapferry-vhost: what it shows of its work: --stats, SIGUSR1, --pcap."""
import json
import os
import resource
import signal
import struct
import unittest

import vhost_frames as frames
from vhost_case import VhostCase, need_backend

FROM_GUEST, TO_GUEST = 30, 20


def setUpModule():
    need_backend()


def records(path):
    """The frames of a capture file."""
    with open(path, "rb") as file:
        data = file.read()
    assert struct.unpack_from("=I", data)[0] == 0xa1b23c4d, data[:4]
    at, found = 24, []
    while at < len(data):
        captured, original = struct.unpack_from("=II", data, at + 8)
        assert captured == original
        found.append(data[at + 16:at + 16 + captured])
        at += 16 + captured
    return found


class Observed(VhostCase):
    def exchange(self, guest):
        """Frames of 100 bytes both ways."""
        self.assert_sends(guest, [frames.numbered(100) for _ in range(FROM_GUEST)])
        self.assert_receives(guest, [frames.numbered(100, False) for _ in range(TO_GUEST)])

    def json_lines(self, backend, event):
        lines = [line for line in backend.stderr().splitlines() if line.startswith("{")]
        return [one for one in map(json.loads, lines) if one["event"] == event]

    def test_intervals_are_columns_and_the_end_has_the_totals(self):
        for option in self.engines():
            backend = self.backend(option, "--stats=1")
            self.exchange(self.guest())
            header = backend.says("pair", "rx frames/s", "wakeups/s")
            backend.says("   0  ")
            self.assertEqual(backend.end(), 0)
            said = backend.stderr().splitlines()
            rows = [line for line in said if len(line) == len(header) and line.startswith("   0")]
            self.assertTrue(rows, said)
            for line in rows:
                self.assertEqual(len(line.split()), 10)
            backend.says("rx, to the guest:", f"{TO_GUEST} frames, {100 * TO_GUEST} bytes")
            backend.says("tx, from the guest:", f"{FROM_GUEST} frames, {100 * FROM_GUEST} bytes")

    def test_json_lines_add_up_to_the_totals(self):
        backend = self.backend("--stats=1", "--stats-format=json")
        self.exchange(self.guest())
        backend.says('"interval"')
        self.assertEqual(backend.end(), 0)
        totals, = self.json_lines(backend, "totals")
        self.assertEqual(totals["tx"]["frames"], FROM_GUEST)
        self.assertEqual(totals["rx"]["frames"], TO_GUEST)
        self.assertEqual(totals["rx"]["bytes"], 100 * TO_GUEST)
        self.assertEqual(set(totals["tx"]["drops"].values()), {0})
        self.assertGreater(sum(totals["tx"]["bursts"].values()), 0)
        self.assertGreater(totals["system_calls"], 0)
        intervals = self.json_lines(backend, "interval")
        self.assertLessEqual(sum(one["tx"]["frames"] for one in intervals), FROM_GUEST)
        self.assertTrue(all(one["elapsed_ms"] > 0 for one in intervals))

    def test_merged_frames_are_counted(self):
        backend = self.backend("--stats=100", "--stats-format=json")
        if "TCPv4" not in backend.says("engine"):
            self.skipTest("kernel: takes no merged frames")
        sent = [frames.packet(frames.TCP, bytes(64), sequence=1 + 64 * i, identification=i)[0] for i in range(16)]
        self.guest().send_frames(*sent)
        self.assertEqual(backend.end(), 0)
        totals, = self.json_lines(backend, "totals")
        self.assertEqual(totals["tx"]["frames"], 16)
        self.assertGreater(totals["tx"]["merged_into"], 0)
        self.assertGreater(totals["tx"]["merged_frames"], totals["tx"]["merged_into"])

    def test_signal_prints_all_counters_and_changes_nothing(self):
        backend = self.backend()
        guest = self.guest()
        self.exchange(guest)
        os.kill(backend.pid, signal.SIGUSR1)
        backend.says("pair 0:", "system calls", "wake-ups")
        backend.says("tx, from the guest:", f"{FROM_GUEST} frames")
        self.exchange(guest)
        self.assertEqual(backend.end(), 0)

    def test_capture_has_both_directions_without_their_headers(self):
        path = f"{self.directory}/guest.pcap"
        for option in self.engines():
            backend = self.backend(option, f"--pcap={path}")
            guest = self.guest()
            sent = [frames.numbered(100 + i) for i in range(5)]
            received = [frames.numbered(1000 + i, False) for i in range(5)]
            self.assert_sends(guest, sent)
            self.assert_receives(guest, received)
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
            self.assertEqual(backend.end(), 0)
            got = records(path)
            self.assertEqual([frame for frame in got if frame[6:12] == frames.GUEST_MAC], sent)
            self.assertEqual([frame for frame in got if frame[6:12] == frames.HOST_MAC], received)
            os.unlink(path)

    def test_capture_is_not_written_over_another_file(self):
        path = self.box.write(f"{self.directory}/there.pcap", "precious", owner="alice")
        self.addCleanup(os.unlink, path)
        backend = self.backend(f"--pcap={path}", ready=False)
        self.assertEqual(backend.end(0), 1)
        self.assertIn(f"create {path}: File exists; name another, or remove it", backend.stderr())
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_capture_that_cannot_grow_ends_and_the_session_goes_on(self):
        path = f"{self.directory}/small.pcap"
        self.addCleanup(os.unlink, path)
        # Its standard error is a file, too, and has room for some lines.
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            backend = self.backend(f"--pcap={path}")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        guest = self.guest()
        for _ in range(3):
            self.exchange(guest)
        backend.says("write", path, "the session goes on")
        self.assertEqual(backend.stderr().count("the session goes on"), 1)
        self.assertEqual(backend.end(), 0)


if __name__ == "__main__":
    unittest.main()
