# SPDX-License-Identifier: MIT
"""tapferry-vhost with somebody else's front-end: DPDK's virtio-user device, in testpmd, with all its kinds of ring; either
side goes away and comes back."""
import contextlib
import itertools
import os
import socket
import unittest

import sandbox
import testpmd
import vhost_frames as frames
from testpmd import Testpmd
from vhost_case import VhostCase, summary

TIMEOUT = 300

KINDS = [dict(zip(("packed_vq", "in_order", "mrg_rxbuf"), kind)) for kind in itertools.product((0, 1), repeat=3)]
LENGTHS = (60, 64, 65, 127, 256, 1000, 1514)
AT_ONCE, GROUPS = 100, 8
TURNS = 4


def setUpModule():
    if not testpmd.PROGRAM:
        raise unittest.SkipTest("dpdk-dev is not installed")
    if not os.path.exists(os.path.join(sandbox.BUILD, "tapferry-vhost")):
        raise unittest.SkipTest("tapferry-vhost is not built (make)")


def named(kind):
    return ", ".join(f"{key} {value}" for key, value in kind.items())


class DpdkCase(VhostCase):
    def peer(self, *options, **device):
        return Testpmd(self.box, self.socket, *options, **device)

    @staticmethod
    def count(name):
        """The tap's statistics: rx is what came from the guest."""
        with open(f"/sys/class/net/vt0/statistics/{name}", encoding="ascii") as file:
            return int(file.read())

    def assert_reflects(self, lengths=LENGTHS, groups=GROUPS, at_once=AT_ONCE):
        """What the host sends comes back: all of it, in order, unchanged."""
        length = itertools.cycle(lengths)
        for _ in range(groups):
            sent = [frames.numbered(next(length), from_guest=False) for _ in range(at_once)]
            self.host.send(*sent)
            got = self.host.receive(len(sent))
            wrong = [pair for pair in itertools.zip_longest(got, sent) if pair[0] != pair[1]]
            if wrong:
                self.fail(f"{len(got)} of {len(sent)} came back, {len(wrong)} of them not as sent, the first: "
                          + " instead of ".join(summary(frame or b"") for frame in wrong[0]))

    def assert_sends(self, guest, sizes):
        """Frames in one or several buffers come out of the tap, every one."""
        guest.set(f"txpkts {sizes}")
        length = sum(map(int, sizes.split(",")))
        before = self.count("rx_packets"), self.count("rx_bytes")
        guest.clear()
        guest.forward("txonly")
        one = self.host.receive_one()
        self.assertTrue(one and len(one[1]) == length, one)
        sent = guest.stop().sent
        self.assertGreater(sent, 0)
        self.assertTrue(sandbox.eventually(lambda: self.count("rx_packets") - before[0] == sent, 5),
                        f"{sent} sent, {self.count('rx_packets') - before[0]} have come")
        self.assertEqual(self.count("rx_bytes") - before[1], sent * length)
        self.host.silence(0.01)  # takes what the test's own socket still holds of them


class EveryKindOfRing(DpdkCase):
    """One backend, and one front-end after the other."""

    def each(self, check, *options, kinds=KINDS):
        """CHECK of a testpmd with each kind of ring."""
        backend = self.backend()
        for kind in kinds:
            with self.subTest(named(kind)), self.peer(*options, **kind) as guest:
                check(guest)
                self.assertEqual(guest.quit(), 0, guest.output)
        self.assertEqual(backend.end(), 0, backend.stderr())

    def test_reflects_what_the_host_sends(self):
        def check(guest):
            guest.forward("io")
            self.assert_reflects()
            counted = guest.stop()
            self.assertEqual((counted.received, counted.sent), (AT_ONCE * GROUPS, AT_ONCE * GROUPS))
        self.each(check)

    def test_sends(self):
        def check(guest):
            for sizes in ("64", "1514", "60,300,700"):
                self.assert_sends(guest, sizes)
        self.each(check, kinds=KINDS[::2])

    def test_receives(self):
        def check(guest):
            before = self.count("tx_packets"), self.count("tx_dropped")
            guest.clear()
            guest.forward("rxonly")
            for number in range(2000):
                self.host.send(frames.numbered(LENGTHS[number % len(LENGTHS)], from_guest=False))
            self.assertTrue(sandbox.eventually(lambda: guest.counters().received == self.came(before), 5),
                            (guest.counters(), self.came(before)))
            guest.stop()
        self.each(check)

    def came(self, before):
        """Frames that the tap has handed out since then; those that found its queue full were the host's to drop."""
        handed_out, dropped = (self.count(name) - old for name, old in zip(("tx_packets", "tx_dropped"), before))
        return handed_out if handed_out + dropped >= 2000 else None


class LargeFrames(DpdkCase):
    """Longer than any single buffer of the front-end's."""
    MTU = 9000

    def test_spread_over_several_buffers(self):
        backend = self.backend()
        for packed in (0, 1):
            for in_order in (0, 1):
                kind = {"mrg_rxbuf": 1, "packed_vq": packed, "in_order": in_order}
                with self.subTest(named(kind)), self.peer("--max-pkt-len=9014", "--enable-scatter", **kind) as guest:
                    guest.forward("io")
                    # Few at a time: a frame is dropped by testpmd itself if it finds its ring of 256 descriptors full.
                    self.assert_reflects((9014, 60, 2036, 2037, 4084, 8000), groups=40, at_once=20)
                    self.assertEqual(guest.quit(), 0, guest.output)
        self.assertEqual(backend.end(), 0, backend.stderr())


class SeveralQueues(DpdkCase):
    QUEUES = 2

    def test_of_a_tap(self):
        backend = self.backend()
        for packed in (0, 1):
            with self.subTest(packed=packed), self.peer(queues=2, packed_vq=packed) as guest:
                guest.forward("io")
                self.assert_reflects()
                guest.stop()
                self.assert_sends(guest, "64")
                self.assertEqual(guest.quit(), 0, guest.output)
        self.assertEqual(backend.end(), 0, backend.stderr())


class FrontEndGoes(DpdkCase):
    def test_killed_while_it_sends_and_another_comes(self):
        backend = self.backend()
        for kind in (KINDS * 2)[1::3]:
            with self.subTest(named(kind)), self.peer(**kind) as guest:
                guest.forward("txonly")
                self.assertTrue(self.host.receive_one())
                guest.kill()
        self.host.silence(0.1)
        with self.peer() as guest:
            guest.forward("io")
            self.assert_reflects()
            self.assertEqual(guest.quit(), 0, guest.output)
        self.assertEqual(backend.end(), 0, backend.stderr())


class BackendGoes(DpdkCase):
    """The front-end listens here, and takes up its rings with whoever connects next."""

    def connected_backend(self):
        with socket.socket(socket.AF_UNIX) as connection:
            if not sandbox.eventually(lambda: connection.connect_ex(self.socket) == 0, 10):
                raise AssertionError(f"nobody listens at {self.socket}")
            return self.backend(socket_option=f"--fd={connection.fileno()}", pass_fds=[connection.fileno()], ready=False)

    def each(self, check):
        """CHECK with a testpmd of each kind of ring and the backend that it has; it gives that which it leaves."""
        for kind in KINDS[1::2]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.socket)
            with self.subTest(named(kind)), self.peer(server=1, wait=False, **kind) as guest:
                backend = self.connected_backend()
                guest.wait_until_ready()
                backend = check(guest, backend)
                self.assertEqual(guest.quit(), 0, guest.output)
                self.assertEqual(backend.process.wait(10), 0, backend.stderr())

    def killed(self, guest, backend):
        """The next one. testpmd gives up, ends or hangs if its back-end dies while it sets up the connection."""
        self.assertTrue(sandbox.eventually(guest.sleeps, 10), guest.output)
        backend.end(9)
        return self.connected_backend()

    def wait_until_back(self):
        """Frames that the front-end sends before it has enabled its send queue are dropped, as the protocol has it."""
        def is_back():
            self.host.send(frames.numbered(60, from_guest=False))
            return self.host.receive_one(0.1)
        self.assertTrue(sandbox.eventually(is_back, 10))
        self.host.silence(0.1)

    def test_killed_between_frames(self):
        def check(guest, backend):
            guest.forward("io")
            for _ in range(TURNS):
                self.assert_reflects(groups=2)
                backend = self.killed(guest, backend)
                self.wait_until_back()
            self.assert_reflects()
            return backend
        self.each(check)

    def test_killed_while_frames_come_from_the_guest(self):
        def check(guest, backend):
            guest.set("txpkts 200")
            guest.forward("txonly")
            for _ in range(TURNS):
                before = self.count("rx_packets")
                self.assertTrue(sandbox.eventually(lambda before=before: self.count("rx_packets") > before + 1000, 10))
                backend = self.killed(guest, backend)
            guest.stop()
            self.host.silence(0.1)
            guest.forward("io")
            self.wait_until_back()
            self.assert_reflects()
            return backend
        self.each(check)

    def test_killed_while_frames_come_to_the_guest(self):
        def check(guest, backend):
            guest.forward("io")
            for _ in range(TURNS):
                self.host.send(*[frames.numbered(200, from_guest=False) for _ in range(AT_ONCE)])
                backend = self.killed(guest, backend)
                self.wait_until_back()
            self.assert_reflects()
            return backend
        self.each(check)


if __name__ == "__main__":
    unittest.main()
