# SPDX-License-Identifier: MIT
"""tapferry-vhost: its command line, its socket, how it ends, and what it tells."""
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import unittest

import processes
import sandbox
import vhost_frames as frames
from vhost_case import VhostCase, need_backend, uring_is_allowed


def setUpModule():
    need_backend()


class CommandLine(VhostCase):
    def run_it(self, *arguments, **options):
        return self.box.run([self.program, *arguments], timeout=10, **options)

    def refused(self, *arguments, says="", status=2, **options):
        done = self.run_it(*arguments, **options)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertTrue(done.stderr.startswith("tapferry-vhost: "), done.stderr)
        self.assertIn(says, done.stderr)
        self.assertFalse(os.path.exists(self.socket), "left behind")

    def test_help_and_version_are_told(self):
        done = self.run_it("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for option in ("--socket-path", "--fd", "--net", "--tap-fd", "--engine", "--coalesce", "--queues",
                       "--busy-poll", "--stats", "--pcap", "--print-capabilities"):
            self.assertIn(option, done.stdout)
        done = self.run_it("--version")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"\Atapferry(-vhost)? [0-9.]+\n\Z")

    def test_capabilities_are_printed_as_qemu_s_convention_has_them(self):
        done = self.run_it("--print-capabilities")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, '{"type":"net","features":[]}\n', ""))

    def test_wrong_options_are_refused(self):
        path, tap = f"--socket-path={self.socket}", "--tap-fd=3"
        for arguments, says in (([], ""), ([path], ""), ([tap], ""), ([path, tap, "--net=bridge=br0"], ""),
                                ([path, "--fd=4", tap], ""), ([path, tap, "--engine=fast"], "fast"),
                                ([path, tap, "--coalesce=maybe"], "maybe"), ([path, tap, "--stats=-1"], ""),
                                ([path, tap, "--busy-poll=x"], "x"), ([path, "--tap-fd=x"], "x"),
                                ([path, tap, "--no-such"], "no-such"),
                                ([path, tap, "more"], "more"), ([path, "--net=nonsense"], "nonsense")):
            with self.subTest(arguments=arguments):
                self.refused(*arguments, says=says)

    def test_descriptors_that_are_no_taps_are_refused(self):
        with open("/dev/null", "rb+", buffering=0) as null:
            fd = null.fileno()
            self.refused(f"--socket-path={self.socket}", f"--tap-fd={fd}", status=1, pass_fds=[fd])
        self.refused(f"--socket-path={self.socket}", "--tap-fd=77", status=1)

    def test_a_tap_without_vnet_headers_is_refused(self):
        fd = os.open("/dev/net/tun", os.O_RDWR)
        try:
            fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"plain0", 0x1002))
            self.refused(f"--socket-path={self.socket}", f"--tap-fd={fd}", says="header", status=1, pass_fds=[fd])
        finally:
            os.close(fd)

    def test_a_descriptor_that_is_no_socket_is_refused(self):
        with open("/dev/null", "rb+", buffering=0) as null:
            fds = [null.fileno(), *self.tap.fds]
            self.refused(f"--fd={null.fileno()}", f"--tap-fd={self.tap.fds[0]}", status=1, pass_fds=fds)


class Socket(VhostCase):
    def test_the_socket_is_its_owner_s_alone_and_goes_at_the_end(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            backend = self.backend()
            self.assertEqual(stat.S_IMODE(os.stat(self.socket).st_mode), 0o600)
            self.assertEqual(backend.end(number), 0, backend.stderr())
            self.assertFalse(os.path.exists(self.socket))

    def test_it_ends_cleanly_in_the_middle_of_a_session(self):
        for engine in self.engines():
            backend = self.backend(engine)
            guest = self.guest()
            self.assert_works(guest)
            self.assertEqual(backend.end(), 0, backend.stderr())
            self.assertTrue(guest.is_closed(timeout_ms=1000)["closed"])

    def test_a_socket_that_nobody_listens_on_is_replaced(self):
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(self.socket)
        shutil.chown(self.socket, "alice")
        self.backend()
        self.assert_works(self.guest())

    def test_a_socket_that_somebody_listens_on_stays(self):
        self.backend()
        second = self.backend(ready=False)
        self.assertEqual(second.process.wait(10), 1)
        self.assertIn(self.socket, second.stderr())
        self.assert_works(self.guest())

    def test_a_file_at_the_socket_s_path_stays(self):
        self.box.write(self.socket, "mine", owner="alice")
        second = self.backend(ready=False)
        self.assertEqual(second.process.wait(10), 1)
        with open(self.socket, encoding="ascii") as file:
            self.assertEqual(file.read(), "mine")

    def test_the_first_line_says_what_it_serves_and_by_which_engine(self):
        best = "engine io_uring;" if uring_is_allowed() else r"engine epoll: .*io_uring: "
        for engine, said in (("--engine=epoll", "engine epoll;"), ("--engine=auto", best)):
            backend = self.backend(engine)
            line = backend.says("tapferry-vhost: ")
            self.assertIn("vt0", line)
            self.assertRegex(line, said)
            backend.end()

    def test_it_has_no_privilege_and_can_gain_none(self):
        backend = self.backend()
        status = processes.status(backend.pid)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "0" if sandbox.IS_SANITIZED else "2"))
        self.assertEqual({int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")}, {0})


class Told(VhostCase):
    def frames_pass(self, guest):
        self.assert_sends(guest, [frames.numbered(60)] * 3)
        self.assert_receives(guest, [frames.numbered(1514, False)] * 2)

    def test_statistics_are_written_while_it_runs(self):
        backend = self.backend("--stats=1")
        self.frames_pass(self.guest())
        before = len(backend.stderr().splitlines())
        self.assertTrue(sandbox.eventually(lambda: len(backend.stderr().splitlines()) > before, 5), backend.stderr())

    def test_sigusr1_dumps_all_counters_and_changes_nothing(self):
        backend = self.backend()
        guest = self.guest()
        self.frames_pass(guest)
        backend.process.send_signal(signal.SIGUSR1)
        self.assertTrue(sandbox.eventually(lambda: len(backend.stderr().splitlines()) > 1, 5), backend.stderr())
        self.frames_pass(guest)

    def test_statistics_can_be_json(self):
        backend = self.backend("--stats=1", "--stats-format=json")
        self.frames_pass(self.guest())

        def told():
            for line in backend.stderr().splitlines():
                with contextlib.suppress(ValueError):
                    return json.loads(line)
            return None
        self.assertIsInstance(sandbox.eventually(told, 5), dict, backend.stderr())

    def test_a_capture_has_all_frames_of_both_directions(self):
        capture = f"{self.directory}/frames.pcap"
        for engine in self.engines():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(capture)
            backend = self.backend(engine, f"--pcap={capture}", "--coalesce=off")
            guest = self.guest()
            for packet, way in ((frames.packet(frames.UDP, b"out" * 20)[0], guest.send_frames),
                                (frames.packet(frames.UDP, b"in" * 30, from_guest=False)[0], self.host.send)):
                way(packet, packet)
            self.assertEqual(len(guest.receive_frames(2)), 2)
            self.host.receive(2)
            self.assertEqual(backend.end(), 0, backend.stderr())
            done = subprocess.run(["tcpdump", "-nn", "-t", "-r", capture], capture_output=True, text=True, check=True)
            lines = done.stdout.splitlines()
            self.assertEqual(len(lines), 4, done.stdout)
            for way in ("192.0.2.9.4000 > 192.0.2.1.4001", "192.0.2.1.4000 > 192.0.2.9.4001"):
                self.assertEqual(sum(f"{way}: UDP, length 60" in line for line in lines), 2, done.stdout)

    def test_a_capture_that_can_t_be_written_is_refused_at_the_start(self):
        backend = self.backend("--pcap=/nowhere/frames.pcap", ready=False)
        self.assertEqual(backend.process.wait(10), 1)
        self.assertIn("/nowhere/frames.pcap", backend.stderr())


if __name__ == "__main__":
    unittest.main()
