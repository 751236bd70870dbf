#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tapferry-vhost: frames that follow each other in a flow reach the tap as one GSO frame, and a receiver gets what the guest sent."""
import os
import select
import unittest

import sandbox
import vhost_frames as frames
from vhost_case import Tap, VhostCase, need_backend

COUNT, BYTES = 20, 200
KINDS = {"TCP over IPv4": (frames.TCP, False), "TCP over IPv6": (frames.TCP, True),
         "UDP over IPv4": (frames.UDP, False), "UDP over IPv6": (frames.UDP, True)}
GSO = {(frames.TCP, False): frames.GSO_TCPV4, (frames.TCP, True): frames.GSO_TCPV6,
       (frames.UDP, False): frames.GSO_UDP_L4, (frames.UDP, True): frames.GSO_UDP_L4}


def setUpModule():
    need_backend()


def flow(protocol, is_v6, count=COUNT, length=BYTES, **more):
    """Frames that follow each other, with their checksums."""
    return [frames.packet(protocol, frames.filler(length, i), is_v6, sequence=1 + i * length, identification=i + 1, **more)[0]
            for i in range(count)]


class Coalescing(VhostCase):
    def from_guest(self, *options, sent):
        """What the tap's own side gets of these: (header, frame) each."""
        backend = self.backend(*options)
        guest = self.guest()
        guest.send_frames(*sent)
        got = []
        while sum(self.frames_in(*one) for one in got) < len(sent):
            one = self.host.receive_one()
            self.assertIsNotNone(one, f"{len(got)} frames came; {backend.stderr()}")
            got.append(one)
        guest.close()
        self.assertEqual(backend.end(), 0, backend.stderr())
        return got

    @staticmethod
    def frames_in(header, frame):
        """Of how many this one was made. (hdr_len isn't what was written: a packet socket tells how much is in one piece.)"""
        fields = frames.read_header(header)
        if not fields["gso_type"]:
            return 1
        headers = fields["csum_start"] + (8 if fields["gso_type"] == frames.GSO_UDP_L4 else 20)
        return -(-(len(frame) - headers) // fields["gso_size"])

    def kinds(self):
        """Those that the backend says it merges on this kernel."""
        backend = self.backend()
        line = backend.says("coalesces")
        backend.end()
        for name, kind in KINDS.items():
            if kind[0] == frames.UDP and "UDP" not in line:
                continue
            with self.subTest(flow=name):
                yield kind

    def test_flow_reaches_the_tap_in_fewer_frames(self):
        for kind in self.kinds():
            for option in self.engines():
                got = self.from_guest(option, sent=flow(*kind))
                self.assertLess(len(got), COUNT)
                self.assertIn(GSO[kind], [frames.read_header(header)["gso_type"] for header, _ in got])

    def test_off_leaves_every_frame_by_itself(self):
        sent = flow(frames.TCP, False)
        got = self.from_guest("--coalesce=off", sent=sent)
        self.assertEqual([frame for _, frame in got], sent)

    def test_frames_of_no_flow_stay_as_they_are(self):
        sent = [frames.numbered(60 + i) for i in range(COUNT)]
        self.assertEqual([frame for _, frame in self.from_guest(sent=sent)], sent)

    def test_damaged_frame_stays_damaged_and_by_itself(self):
        sent = flow(frames.TCP, False)
        sent[7] = sent[7][:-1] + bytes([sent[7][-1] ^ 1])
        got = self.from_guest(sent=sent)
        self.assertIn(sent[7], [frame for _, frame in got])
        self.assertLess(len(got), COUNT)

    def test_receiver_without_offloads_gets_the_guests_frames(self):
        # Another port of the same bridge, whose reader takes no GSO.
        sandbox.ip("link", "add", "vbr0", "type", "bridge")
        self.addCleanup(sandbox.ip, "link", "del", "vbr0")
        sandbox.ip("link", "set", "vbr0", "up")
        other = Tap("vt1")
        self.addCleanup(other.close)
        for name in ("vt0", "vt1"):
            sandbox.ip("link", "set", name, "master", "vbr0")
        for kind in self.kinds():
            self.backend()
            guest = self.guest()
            sent = flow(*kind)
            guest.send_frames(*sent)
            got = []
            while len(got) < COUNT and select.select(other.fds, [], [], 10)[0]:
                frame = os.read(other.fds[0], 1 << 17)[10:]
                if frame[6:12] == frames.GUEST_MAC:
                    got.append(frame)
            self.assertEqual(got, sent)
            guest.close()


if __name__ == "__main__":
    unittest.main()
