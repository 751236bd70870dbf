# SPDX-License-Identifier: MIT
"""tapferry-vhost: who tells it what, besides front-ends: a supervisor, and the interface with its link, its MTU and its end."""
import os
import select
import socket
import unittest

import sandbox
import vhost_front as front
import vhost_frames as frames
from vhost_case import VhostCase, need_backend

SECONDS = 10


def setUpModule():
    need_backend()


class Supervisor(VhostCase):
    def setUp(self):
        super().setUp()
        self.reader, self.writer = os.pipe()

    def tearDown(self):
        for fd in {self.reader, self.writer} - {None}:
            os.close(fd)
        super().tearDown()

    def supervised(self, *options, **how):
        backend = self.backend(*options, f"--supervisor-fd={self.writer}", pass_fds=[self.writer], **how)
        os.close(self.writer)
        self.writer = None
        return backend

    def read(self):
        self.assertTrue(select.select([self.reader], [], [], SECONDS)[0], "nothing came")
        return os.read(self.reader, 16)

    def let_go(self):
        os.close(self.reader)
        self.reader = None

    def test_is_told_once_when_front_ends_can_connect(self):
        backend = self.supervised(ready=False)
        self.assertEqual(self.read(), b"+")
        self.assert_works(self.guest())
        self.assertEqual(backend.end(), 0)
        self.assertEqual(self.read(), b"", "and nothing more")

    def test_is_not_told_of_a_start_that_failed(self):
        self.box.write(self.socket, "in the way", owner="alice")
        backend = self.supervised(ready=False)
        self.assertEqual(backend.process.wait(SECONDS), 1)
        self.assertEqual(self.read(), b"")

    def test_takes_the_backend_along_when_it_ends(self):
        backend = self.supervised()
        self.assertEqual(self.read(), b"+")
        guest = self.guest()
        self.assert_works(guest)
        self.let_go()
        self.assertEqual(backend.process.wait(SECONDS), 0, backend.stderr())
        self.assertFalse(os.path.exists(self.socket))
        self.assertTrue(guest.is_closed(timeout_ms=1000)["closed"])

    def test_that_ended_before_takes_it_along_too(self):
        self.let_go()
        backend = self.supervised(ready=False)
        self.assertNotEqual(backend.process.wait(SECONDS), -13, "SIGPIPE")


class Interface(VhostCase):
    def set(self, *words):
        sandbox.ip("link", "set", "vt0", *words)

    def set_up_again(self):
        self.set("up")
        self.host.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # it was told that the network is down

    def test_that_is_removed_ends_the_backend_with_a_line(self):
        backend = self.backend()
        self.assert_works(self.guest())
        sandbox.ip("link", "del", "vt0")
        self.assertEqual(backend.process.wait(SECONDS), 1)
        self.assertIn("serve vt0: the interface was removed", backend.stderr())
        self.assertFalse(os.path.exists(self.socket))

    def test_that_goes_down_is_told_and_the_guest_stays(self):
        backend = self.backend()
        guest = self.guest()
        self.assert_works(guest)
        self.set("down")
        backend.says("vt0 has no link")
        self.set_up_again()
        backend.says("vt0 has a link again")
        self.assert_works(guest)

    def test_whose_link_is_followed_has_no_front_end_while_it_is_down(self):
        backend = self.backend("--follow-link")
        guest = self.guest()
        self.assert_works(guest)
        self.set("down")
        self.assertTrue(guest.is_closed(timeout_ms=SECONDS * 1000)["closed"])
        with self.assertRaises(front.FrontError):
            self.guest()
        self.set_up_again()
        backend.says("vt0 has a link again")
        self.assert_works(self.guest())
        self.assertTrue(backend.is_running())

    def test_that_is_renamed_is_still_the_same(self):
        backend = self.backend()
        self.set("down")
        self.set("name", "other0")
        self.addCleanup(sandbox.ip, "link", "set", "other0", "name", "vt0")
        sandbox.ip("link", "set", "other0", "down")
        sandbox.ip("link", "set", "other0", "up")
        backend.says("other0 has a link again")

    def test_whose_mtu_grows_sends_larger_frames_to_the_guest(self):
        for engine in self.engines():
            self.set("mtu", "1500")
            backend = self.backend(engine)
            guest = self.guest(without=front.OFFLOADS)
            self.assert_works(guest)
            self.set("mtu", "9000")
            backend.says("vt0 has MTU 9000")
            self.assert_receives(guest, [frames.numbered(9014, False)])


if __name__ == "__main__":
    unittest.main()
