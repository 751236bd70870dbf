# SPDX-License-Identifier: MIT
"""FD is the caller's word, its peer may be gone or never read, and signals come at any moment."""
import os
import random
import signal
import socket
import subprocess
import time
import unittest

import handover
import links
import sandbox
from helper_case import HelperCase, need_helper
from one_file import note


def setUpModule():
    need_helper()


class Sockets(HelperCase):
    """FD is the caller's word; nothing is made before it was looked at."""

    def setUp(self):
        super().setUp()
        self.box.policy("allow br0")

    def test_fd_that_is_no_socket(self):
        for path in ("/etc/passwd", "/etc", "/dev/null", "/dev/net/tun"):
            fd = os.open(path, os.O_RDONLY)
            self.addCleanup(os.close, fd)
            before = links.snapshot()
            got = handover.ask(self.box, self.helper, ["--br=br0", f"--fd={fd}"], pass_fds=[fd])
            self.check_refusal(got, before)

    def test_fd_that_is_the_wrong_socket(self):
        kinds = ((socket.AF_UNIX, socket.SOCK_DGRAM), (socket.AF_INET, socket.SOCK_STREAM),
                 (socket.AF_INET, socket.SOCK_DGRAM), (socket.AF_NETLINK, socket.SOCK_RAW),
                 (socket.AF_UNIX, socket.SOCK_STREAM))
        for family, kind in kinds:
            with socket.socket(family, kind) as sock:
                before = links.snapshot()
                got = handover.ask(self.box, self.helper, ["--br=br0", f"--fd={sock.fileno()}"],
                                   pass_fds=[sock.fileno()])
                self.check_refusal(got, before)

    def test_nothing_is_created_before_the_socket_is_checked(self):
        """The index of the next interface tells how many were made in between."""
        fd = os.open("/dev/null", os.O_RDWR)
        self.addCleanup(os.close, fd)
        first = self.granted_br().link.index
        for _ in range(5):
            handover.ask(self.box, self.helper, ["--br=br0", f"--fd={fd}"], pass_fds=[fd])
        self.assertEqual(self.granted_br().link.index, first + 1)

    def test_nothing_is_created_for_a_refused_request(self):
        first = self.granted_br().link.index
        for _ in range(5):
            self.refused_br("br1")
        self.assertEqual(self.granted_br().link.index, first + 1)

    def test_numbers_that_are_no_descriptor(self):
        for word in ("", "zz", "-1", "3x", " 3", "+3", "0x3", "4294967299", "99999999999999999999", "1e1", "200"):
            with self.subTest(word=word):
                before = links.snapshot()
                got = handover.ask(self.box, self.helper, ["--br=br0", f"--fd={word}"])
                self.check_refusal(got, before)

    def test_peer_gone(self):
        for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
            before = links.snapshot()
            ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
            ours.close()
            with theirs:
                done = self.box.run([self.helper, f"--fd={theirs.fileno()}", "--br=br0"], pass_fds=[theirs.fileno()])
            self.assertGreater(done.returncode, 0)
            self.assertRegex(done.stderr, r"\Atapferry-helper: [^\n]+\n\Z")
            self.assertEqual(links.snapshot(), before)

    def test_full_socket_buffer(self):
        """A peer that doesn't read can't keep a privileged process and an interface for ever."""
        for blocking in (True, False):
            with self.subTest(blocking=blocking):
                self.full_buffer(blocking)

    def full_buffer(self, blocking):
        before = links.snapshot()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.setblocking(False)
            try:
                while True:
                    theirs.send(b"x" * 4096)
            except BlockingIOError:
                pass
            theirs.setblocking(blocking)
            done = self.box.run([self.helper, f"--fd={theirs.fileno()}", "--br=br0"], pass_fds=[theirs.fileno()],
                                timeout=60)
        self.assertGreater(done.returncode, 0)
        self.assertRegex(done.stderr, r"\Atapferry-helper: [^\n]+\n\Z")
        self.assertEqual(links.snapshot(), before)


class Interrupted(HelperCase):
    """SIGSTOP and SIGKILL at any moment: whole hand-over or nothing, and never a leftover."""
    KILLS, STOPS = 120, 40

    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 queues=4 max=4")
        self.random = random.Random(1)

    def interrupted(self, number, seconds):
        """Start, send signal NUMBER after SECONDS; (exit status, messages, fds)."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                proc = self.box.popen([self.helper, "--net=bridge=br0,queues=4", f"--fd={theirs.fileno()}"],
                                      pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL)
            time.sleep(seconds)
            try:
                os.kill(proc.pid, number)
            except ProcessLookupError:
                pass
            if number == signal.SIGSTOP:
                time.sleep(0.01)
                os.kill(proc.pid, signal.SIGCONT)
            status = proc.wait(20)
            messages, fds, eof = handover.drain(ours, seconds=5)  # the auditor lets go of the socket on its own
            self.assertTrue(eof)
        return status, messages, fds

    def seconds_of_one(self):
        """From the start of a helper to its end, when nobody interrupts it."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            proc = self.box.popen([self.helper, "--net=bridge=br0,queues=4", f"--fd={theirs.fileno()}"],
                                  pass_fds=[theirs.fileno()])
            start = time.monotonic()
            proc.wait(20)
            seconds = time.monotonic() - start
            for fd in handover.drain(ours)[1]:
                os.close(fd)
        return seconds

    def check(self, number, rounds):
        whole = min(self.seconds_of_one() for _ in range(5))
        before, delivered = links.snapshot(), 0
        for _ in range(rounds):
            _status, messages, fds = self.interrupted(number, self.random.uniform(0, whole))
            delivered += bool(fds)
            self.assertIn(len(fds), (0, 4))
            self.assertEqual(bool(fds), bool(messages))
            for fd in fds:
                os.close(fd)
            self.assertTrue(sandbox.eventually(lambda: links.snapshot() == before), links.snapshot())
        return delivered

    def test_sigkill_at_random_moments_leaves_nothing(self):
        delivered = self.check(signal.SIGKILL, self.KILLS)
        note(f"SIGKILL at {self.KILLS} random moments: {delivered} hand-overs were complete, nothing left behind")

    def test_sigstop_at_random_moments_changes_nothing(self):
        self.assertEqual(self.check(signal.SIGSTOP, self.STOPS), self.STOPS)

    def test_a_stopped_helper_blocks_nobody_else(self):
        """No lock is held: another request is served while one is stopped wherever it may be."""
        for _ in range(10):
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    proc = self.box.popen([self.helper, "--net=bridge=br0", f"--fd={theirs.fileno()}"],
                                          pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL)
                time.sleep(self.random.uniform(0, 0.004))
                proc.send_signal(signal.SIGSTOP)
                try:
                    self.granted("bridge=br0", "bob", timeout=10).close()
                finally:
                    proc.kill()
                    proc.wait()

    def test_the_caller_cannot_look_into_it(self):
        """Not dumpable: while it runs, what /proc shows of it isn't the caller's to read."""
        look = ("import os, sys\n"
                "try: print(os.readlink(f'/proc/{sys.argv[1]}/exe'))\n"
                "except PermissionError: print('denied')\n")
        seen = set()
        for _ in range(20):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                proc = self.box.popen([self.helper, "--net=bridge=br0", f"--fd={theirs.fileno()}"],
                                      pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL)
                time.sleep(self.random.uniform(0, 0.002))
                proc.send_signal(signal.SIGSTOP)
                seen.add(self.box.run(["/usr/bin/python3", "-c", look, str(proc.pid)]).stdout.strip())
                proc.kill()
                proc.wait()
        self.assertNotIn(self.helper, seen)
        self.assertIn("denied", seen)


if __name__ == "__main__":
    unittest.main()
