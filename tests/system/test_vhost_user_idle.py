# SPDX-License-Identifier: MIT
"""tapferry-vhost: sleeps when there is nothing to do, and is small."""
import itertools
import time
import unittest

import sandbox
import vhost_frames as frames
from vhost_case import VhostCase, need_backend

IDLE_S = 10
LIMIT_KIB = 8 << 10
EACH_QUEUE_KIB = 1 << 10


def setUpModule():
    need_backend()
    if sandbox.IS_SANITIZED:
        raise unittest.SkipTest("a sanitizer's own threads and memory")


class Idle(VhostCase):
    def test_no_thread_wakes_up_in_ten_idle_seconds(self):
        """Both engines at once, with a guest and without, split and packed."""
        running = []
        kinds = itertools.product(self.engines(), ({}, {"packed": True}, None))
        for i, (engine, options) in enumerate(kinds):
            self.socket = f"{self.directory}/idle{i}.sock"
            self.make_tap(name=f"vt{i + 1}")
            backend = self.backend(engine)
            if options is not None:
                guest = self.guest(**options)
                self.assert_works(guest)
                guest.receive_frames(1, timeout_ms=0)
            running.append((engine, options, backend))
        time.sleep(0.5)
        before = [backend.wakeups() for _, _, backend in running]
        time.sleep(IDLE_S)
        for (engine, options, backend), woken in zip(running, before):
            with self.subTest(engine=engine, guest=options):
                self.assertEqual(backend.wakeups(), woken)


class Resident(VhostCase):
    QUEUES = 2

    def test_memory_is_given_back_after_large_frames(self):
        for engine in self.engines():
            for packed in (False, True):
                backend = self.backend(engine)
                guest = self.guest(packed=packed, queues=2, size=1024)
                for _ in range(20):
                    for _ in range(10):
                        header, frame = frames.large(frames.TCP, 60000, 1448, from_guest=False)
                        self.host.send(frame, header=header)
                    for queue in (0, 1):
                        guest.receive_frames(10, queue, timeout_ms=30)
                header, frame = frames.large(frames.TCP, 60000, 1448)
                for queue in (0, 1):
                    guest.send_frames(*[frame] * 10, header=header, queue=queue)
                    guest.send_frames(*[frames.packet(frames.UDP, b"x" * 64, partial=True)[0]] * 40, queue=queue)
                for _ in range(200):
                    self.host.send(frames.numbered(60, False))
                    for queue in (0, 1):
                        guest.receive_frames(10, queue, timeout_ms=2)
                self.assertLess(backend.resident_kib(), LIMIT_KIB + EACH_QUEUE_KIB, backend.process.args)
                guest.close()
                backend.end()


if __name__ == "__main__":
    unittest.main()
