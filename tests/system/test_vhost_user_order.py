# SPDX-License-Identifier: MIT
"""tapferry-vhost: frames come in the order in which they went, whatever their sizes, and none is lost."""
import random
import unittest

import sandbox
import vhost_frames as frames
from vhost_case import VhostCase, need_backend

RINGS = {"split": {}, "split, in order": {"in_order": True}, "packed": {"packed": True},
         "packed, in order": {"packed": True, "in_order": True}}


def setUpModule():
    need_backend()


class Order(VhostCase):
    def setUp(self):
        super().setUp()
        sandbox.ip("link", "set", "vt0", "txqueuelen", "4000")

    def rings(self, **options):
        for engine in self.engines():
            backend = self.backend(engine)
            for name, ring in RINGS.items():
                self.at(name)
                guest = self.guest(**ring, **options)
                yield guest
                self.assertTrue(backend.is_running(), backend.stderr())
                for vring in (0, 1):
                    self.assertEqual(guest.ring(vring=vring)["fault"], "")
                guest.close()

    def mixture(self, seed, count):
        """Small frames with large ones among them, in an order that the seed decides: (header, frame)."""
        dice = random.Random(seed)
        made = []
        for _ in range(count):
            if dice.random() < 0.25:
                length = dice.choice([1449, 3000, 9000, 30000, 65000])
                made.append(frames.large(frames.TCP, length, 1448, from_guest=False))
            else:
                made.append((bytes(10), frames.numbered(dice.choice([18, 60, 64, 500, 1514]), False)))
        return made

    def send(self, mixture):
        for header, frame in mixture:
            self.host.send(frame, header=header)

    def assert_same(self, got, mixture):
        self.assertEqual([len(frame) for _, frame, _ in got], [len(frame) for _, frame in mixture])
        self.assertTrue([frame for _, frame, _ in got] == [frame for _, frame in mixture], "other bytes or order")

    def test_large_frames_between_small_ones_keep_their_order(self):
        for guest in self.rings(size=1024):
            for seed in range(4):
                mixture = self.mixture(seed, 60)
                self.send(mixture)
                self.assert_same(guest.receive_frames(len(mixture)), mixture)

    def test_nothing_is_lost_while_there_are_no_buffers(self):
        for guest in self.rings(post=False, size=1024):
            mixture = self.mixture(7, 60)
            self.send(mixture)
            self.assertEqual(guest.receive_frames(1, timeout_ms=50), [])
            guest.post(count=1000, bytes=2048)
            self.assert_same(guest.receive_frames(len(mixture)), mixture)

    def test_nothing_is_lost_when_buffers_come_a_few_at_a_time(self):
        for guest in self.rings(post=False, size=256):
            mixture = self.mixture(3, 30)
            self.send(mixture)
            got = []
            for step in range(600):
                guest.post(count=1 + step % 5, bytes=2048)
                got += guest.receive_frames(len(mixture), timeout_ms=0, repost=False)
                if len(got) == len(mixture):
                    break
            else:
                got += guest.receive_frames(len(mixture) - len(got), timeout_ms=2000, repost=False)
            self.assert_same(got, mixture)

    def test_a_frame_that_waits_for_buffers_comes_whole_when_they_are_there(self):
        for guest in self.rings(post=False):
            header, large = frames.large(frames.TCP, 60000, 1448, from_guest=False)
            small = frames.numbered(60, False)
            self.host.send(large, header=header)
            self.host.send(small)
            guest.post(count=10, bytes=2048)
            self.assertEqual(guest.receive_frames(1, timeout_ms=100, repost=False), [])
            guest.post(count=60, bytes=2048)
            got = guest.receive_frames(2, repost=False)
            self.assertTrue([frame for _, frame, _ in got] == [large, small])

    def test_a_guest_s_bursts_keep_their_order_in_any_shape(self):
        dice = random.Random(5)
        shapes = [{}, {"own_header": True}, {"pieces": [20, 30]}, {"indirect": True},
                  {"indirect": True, "pieces": [12, 14, 100]}]
        for guest in self.rings():
            for _ in range(4):
                burst = [frames.numbered(dice.choice([18, 60, 1514, 5000])) for _ in range(40)]
                answer = guest.send(frames=[{"frame": frame.hex(), **dice.choice(shapes)} for frame in burst])
                self.assertEqual((answer["sent"], answer["used"], answer["fault"]), (40, True, ""))
                self.assertTrue(self.host.receive(40) == burst)

    def test_a_large_frame_of_the_guest_keeps_its_place(self):
        for guest in self.rings():
            large = [frames.large(frames.TCP, size, 1448) for size in (3000, 65000, 20000)]
            small = [frames.numbered(60) for _ in range(12)]
            burst = [(b"", frame) for frame in small]
            for place, one in zip((2, 5, 11), large):
                burst.insert(place, one)
            answer = guest.send(frames=[{"header": header.hex(), "frame": frame.hex()} for header, frame in burst])
            self.assertTrue(answer["used"])
            self.assertTrue(self.host.receive(len(burst)) == [frame for _, frame in burst])

    def test_both_directions_at_once_lose_nothing(self):
        for guest in self.rings():
            inwards = [frames.numbered(200, False) for _ in range(400)]
            outwards = [frames.numbered(300) for _ in range(400)]
            got = []
            for i in range(0, 400, 40):
                self.host.send(*inwards[i:i + 40])
                guest.send_frames(*outwards[i:i + 40])
                got += guest.receive_frames(40, timeout_ms=0)
            got += guest.receive_frames(400 - len(got))
            self.assertTrue([frame for _, frame, _ in got] == inwards)
            self.assertTrue(self.host.receive(400) == outwards)


if __name__ == "__main__":
    unittest.main()
