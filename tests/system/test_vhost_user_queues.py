# SPDX-License-Identifier: MIT
"""tapferry-vhost: a tap with several queues, for guests that use all of them, or fewer."""
import signal
import struct
import time
import unittest

import sandbox
import vhost_frames as frames
from vhost_case import VhostCase, need_backend
from vhost_front import GET_FEATURES

PORTS = 14 + 20  # where a frame has them


def setUpModule():
    need_backend()


class Queues(VhostCase):
    QUEUES = 3

    def test_each_queue_pair_moves_its_own_frames(self):
        for engine in self.engines():
            backend = self.backend(engine)
            self.assertGreaterEqual(len(backend.wakeups()), 4)  # the main thread and one for each pair (and a sanitizer's)
            for packed in (False, True):
                guest = self.guest(packed=packed, queues=3)
                self.assertEqual(guest.negotiated["queue_limit"], 3)
                for queue in (0, 2, 1, 2):
                    self.assert_sends(guest, [frames.numbered(60), frames.numbered(1514)], queue=queue)
                self.receives_on_some_queue(guest)
                guest.close()

    def receives_on_some_queue(self, guest):
        """Which of them a flow's frames go to is the kernel's choice; each frame comes once."""
        sent = [frames.numbered(200, False) for _ in range(30)]
        self.host.send(*sent)
        got = []
        for _ in range(100):
            for queue in range(3):
                got += [frame for _, frame, _ in guest.receive_frames(30, queue, timeout_ms=10)]
            if len(got) >= 30:
                break
        self.assertEqual(sorted(got), sorted(sent))


class FewerQueues(VhostCase):
    """A guest uses fewer pairs than the tap has queues: none of the host's frames wait where nobody reads."""
    QUEUES, FLOWS = 3, 60

    def flows(self):
        """Frames that the kernel spreads over all queues in use, by their ports."""
        sent = [bytearray(frames.packet(frames.UDP, bytes([flow]) * 100, from_guest=False)[0]) for flow in range(self.FLOWS)]
        for flow, frame in enumerate(sent):
            frame[PORTS:PORTS + 4] = struct.pack("!HH", 1024 + 7 * flow, 9000 + flow)
        return [bytes(frame) for frame in sent]

    def assert_receives_on(self, guest, *queues):
        """All of them come, and by these queues; each of which gets some."""
        guest.ask(GET_FEATURES)  # what was said before is done
        sent = self.flows()
        self.host.send(*sent)
        got = {queue: [] for queue in queues}
        for _ in range(100):
            for queue in queues:
                got[queue] += [frame for _, frame, _ in guest.receive_frames(self.FLOWS, queue, timeout_ms=10)]
            if sum(map(len, got.values())) >= self.FLOWS:
                break
        self.assertEqual(sorted(sum(got.values(), [])), sorted(sent))
        for queue in queues:
            self.assertTrue(got[queue], f"nothing by queue {queue}")

    def test_it_has_one_pair_only(self):
        for engine in self.engines():
            backend = self.backend(engine)
            for options in ({}, {"without": ("guest_tso4", "guest_tso6")}, {"packed": True}):
                self.at(options)
                guest = self.guest(queues=1, **options)
                self.assert_sends(guest, [frames.numbered(60)])
                self.assertEqual(guest.negotiated["queue_limit"], 3)
                self.assert_receives_on(guest, 0)
                guest.close()
            self.assertEqual(backend.end(), 0, backend.stderr())

    def test_it_gives_up_pairs_and_takes_them_again(self):
        for engine in self.engines():
            self.backend(engine)
            for packed in (False, True):
                self.at("packed" if packed else "split")
                guest = self.guest(packed=packed, queues=3)
                self.assert_receives_on(guest, 0, 1, 2)
                for pair in (1, 2):
                    self.enable(guest, pair, False)
                self.assert_receives_on(guest, 0)
                self.assert_sends(guest, [frames.numbered(60)])
                self.enable(guest, 2, True)
                self.assert_receives_on(guest, 0, 2)
                self.assert_sends(guest, [frames.numbered(1514)], queue=2)
                self.enable(guest, 1, True)
                self.assert_receives_on(guest, 0, 1, 2)
                for queue in (1, 0, 2):
                    self.assert_sends(guest, [frames.numbered(60)], queue=queue)
                guest.close()

    def test_the_next_backend_takes_the_tap_as_the_one_before_left_it(self):
        for number in (signal.SIGKILL, signal.SIGTERM):
            for engine in self.engines():
                self.at(number.name)
                backend = self.backend(engine)
                guest = self.guest(queues=1)
                self.assert_receives_on(guest, 0)
                backend.end(number)
                guest.close()
                self.backend(engine)
                guest = self.guest(queues=3)
                self.assert_receives_on(guest, 0, 1, 2)
                guest.close()

    def test_one_that_sleeps_is_not_woken_by_the_pairs_out_of_use(self):
        for engine in self.engines():
            backend = self.backend(engine)
            guest = self.guest(queues=1)
            self.assert_receives_on(guest, 0)

            def sleeps():
                before = backend.wakeups()
                time.sleep(1)
                return backend.wakeups() == before
            self.assertTrue(sandbox.eventually(sleeps, 5))
            guest.close()

    @staticmethod
    def enable(guest, pair, on):
        for vring in (2 * pair, 2 * pair + 1):
            guest.enable(vring=vring, on=on)


if __name__ == "__main__":
    unittest.main()
