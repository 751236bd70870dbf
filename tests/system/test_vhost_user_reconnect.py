# SPDX-License-Identifier: MIT
"""tapferry-vhost: either side goes away, under traffic, and the network is back: no frame changed, none twice that was
acknowledged, none out of order."""
import os
import signal
import socket
import unittest

import vhost_frames as frames
from vhost_case import VhostCase, need_backend
from vhost_front import FrontError

TIMES = 20
STATE_BYTES = 64 << 10
RINGS = {"split": {}, "split, in order": {"in_order": True}, "packed": {"packed": True},
         "packed, in order": {"packed": True, "in_order": True}}


def setUpModule():
    need_backend()


class FrontEndGoes(VhostCase):
    def test_the_backend_serves_one_guest_after_another(self):
        for engine in self.engines():
            backend = self.backend(engine)
            for turn in range(TIMES):
                guest = self.guest(**list(RINGS.values())[turn % 4])
                guest.send(frames=[{"frame": frames.numbered(60).hex()}] * 8, wait=False)
                self.host.send(*[frames.numbered(70, False) for _ in range(8)])
                guest.close()  # killed
                self.host.silence(0.01)
            self.assert_works(self.guest())
            self.assertEqual(backend.end(), 0, backend.stderr())

    def test_a_guest_comes_back_on_the_same_rings(self):
        """The front-end lost the connection and makes another: what it had made available is still there."""
        for name, ring in RINGS.items():
            with self.subTest(ring=name):
                backend = self.backend("--engine=auto")
                guest = self.guest(**ring)
                for _ in range(TIMES):
                    self.assert_works(guest)
                    guest.disconnect()
                    guest.connect(path=self.socket)
                    guest.resume()
                self.assert_works(guest)
                self.assertEqual([guest.ring(vring=vring)["fault"] for vring in (0, 1)], ["", ""])
                guest.close()
                self.assertEqual(backend.end(), 0, backend.stderr())

    def test_a_guest_that_does_not_know_how_far_its_split_rings_were_used(self):
        """DPDK's front-end gives 0 then; the used ring itself tells."""
        self.backend()
        guest = self.guest()
        for _ in range(3):
            self.assert_works(guest)
            guest.disconnect()
            guest.connect(path=self.socket)
            guest.resume(base=0)
        self.assert_works(guest)

    def test_frames_for_the_guest_before_are_not_the_next_one_s(self):
        self.backend()
        guest = self.guest(post=False)
        guest.post(count=2, bytes=2048)
        self.host.send(*[frames.large(frames.TCP, 30000, 1448, from_guest=False)[1][:1514] for _ in range(2)])
        guest.receive_frames(2, repost=False)
        header, waits = frames.large(frames.TCP, 30000, 1448, from_guest=False)
        self.host.send(waits, header=header)
        self.assertEqual(guest.receive_frames(1, timeout_ms=100, repost=False), [])
        guest.close()
        self.assert_works(self.guest())


class BackendGoes(VhostCase):
    """Killed at any moment while frames pass; the guest connects again and resumes at its used index, as QEMU does."""

    def setUp(self):
        super().setUp()
        self.state = os.memfd_create("state", 0)
        os.ftruncate(self.state, STATE_BYTES)
        self.addCleanup(os.close, self.state)

    def start(self, engine="--engine=auto"):
        return self.backend(engine, f"--state-fd={self.state}", pass_fds=[self.state])

    def check(self, seen):
        """Numbered frames as the host got them: each one whole; a batch that was on its way may come again."""
        last = 0
        again = 0
        for frame in seen:
            number = frames.number_of(frame)
            self.assertEqual(frame, frames.numbered(len(frame), number=number))
            if number <= last:
                again += 1
            last = max(last, number)
        return last, again

    def flood(self, guest, first):
        """Numbered frames from there on, without waiting for their end; the next number."""
        for start in range(first, first + 400, 40):
            burst = [{"frame": frames.numbered(200, number=number).hex()} for number in range(start, start + 40)]
            answer = guest.send(frames=burst, wait=False)
            if answer["sent"] < 40:
                return start + answer["sent"]
        return first + 400

    def kills(self, **ring):
        backend = self.start()
        guest = self.guest(**ring)
        number, again = 1, 0
        for _ in range(TIMES):
            number = self.flood(guest, number)
            backend.process.send_signal(signal.SIGKILL)
            backend.process.wait()
            backend = self.start()
            guest.connect(path=self.socket)
            guest.resume()
            number = self.flood(guest, number)
            guest.send(frames=[], wait=True)
            last, twice = self.check(self.host.receive(1 << 30, 0.02))
            again += twice
            self.assertEqual(last, number - 1, "the last frame before the next kill came")
            self.assertLessEqual(twice, 64, "at most one burst is sent again")
        self.assertEqual([guest.ring(vring=vring)["fault"] for vring in (0, 1)], ["", ""])
        self.assert_works(guest)
        guest.close()
        return again

    def test_twenty_kills_on_split_rings(self):
        self.kills()

    def test_twenty_kills_on_split_rings_in_order(self):
        self.kills(in_order=True)

    def test_twenty_kills_on_packed_rings_with_the_index_kept(self):
        self.kills(packed=True)

    def test_twenty_kills_on_packed_rings_in_order_with_the_index_kept(self):
        self.kills(packed=True, in_order=True)

    def test_twenty_kills_while_frames_come_in(self):
        for ring in ({}, {"packed": True}):
            backend = self.start()
            guest = self.guest(**ring)
            for _ in range(TIMES):
                self.host.send(*[frames.numbered(100 + i, False) for i in range(60)])
                backend.process.send_signal(signal.SIGKILL)
                backend.process.wait()
                backend = self.start()
                guest.connect(path=self.socket)
                guest.resume()
                last = frames.numbered(99, False)
                self.host.send(last)
                got = guest.receive_frames(200, timeout_ms=50)
                while not got or got[-1][1] != last:
                    more = guest.receive_frames(200, timeout_ms=5000)
                    self.assertTrue(more, "the last frame didn't come")
                    got += more
                numbers = [frames.number_of(frame) for _, frame, _ in got]
                self.assertEqual(numbers, sorted(set(numbers)), "none twice, all in order")
                for _, frame, _ in got:
                    self.assertEqual(frame, frames.numbered(len(frame), False, number=frames.number_of(frame)))
            guest.close()
            backend.end()

    def test_a_state_that_is_nonsense_is_no_ring_s_position(self):
        os.pwrite(self.state, bytes(range(1, 256)) * 256, 0)
        backend = self.start()
        try:
            self.assert_works(self.guest(packed=True))
        except FrontError:
            backend.says("state")
        self.assertTrue(backend.is_running() or backend.stderr())


class GuestListens(VhostCase):
    """QEMU with server=on: the backend connects."""

    def test_a_connected_descriptor_is_served_and_the_backend_ends_with_it(self):
        front = self.front()
        path = f"{self.directory}/qemu.sock"
        front.listen(path=path)
        os.chmod(path, 0o777)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        fd = connection.fileno()
        backend = self.backend(socket_option=f"--fd={fd}", pass_fds=[fd], ready=False)
        connection.close()
        front.connect(path="")
        self.assert_works(self.guest(front=front))
        front.close()
        self.assertEqual(backend.process.wait(10), 0, backend.stderr())

    def test_a_listening_descriptor_is_served_again_and_again(self):
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(self.socket)
        listening.listen()
        fd = listening.fileno()
        backend = self.backend(socket_option=f"--fd={fd}", pass_fds=[fd])
        for _ in range(3):
            guest = self.guest()
            self.assert_works(guest)
            guest.close()
        self.assertEqual(backend.end(), 0)
        self.assertTrue(os.path.exists(self.socket), "it isn't the backend's to remove")
        listening.close()


if __name__ == "__main__":
    unittest.main()
