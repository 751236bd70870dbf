# SPDX-License-Identifier: MIT
"""Quantity: hundreds of macvtaps under one warden, hand-overs killed at any moment, holders killed in a row."""
import os
import random
import resource
import signal
import socket
import time
import unittest

import handover
import links
import processes
import sandbox
from helper_case import need_helper as setUpModule  # noqa: F401
from one_file import note
from warden_case import WardenCase, nodes

TIMEOUT = 900

HELD_AT_ONCE = 500
KILLED_HANDOVERS = 400
KILLED_HOLDERS = 200
GONE_S = 1.0  # what is promised
FACTOR = int(os.environ.get("TAPFERRY_TIME_FACTOR", "1"))
INSTANCES = "/proc/sys/fs/inotify/max_user_instances"


def is_there(name):
    return os.path.exists(f"/sys/class/net/{name}")


class AtOnce(WardenCase):

    def test_five_hundred_are_held_under_one_warden(self):
        with open(INSTANCES, encoding="ascii") as file:
            instances = int(file.read())
        self.assertLess(instances, HELD_AT_ONCE, "otherwise a warden for each would do as well")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        begun = time.monotonic()
        held = [self.granted("macvtap=v0", look=False) for _ in range(HELD_AT_ONCE)]
        made = time.monotonic()
        self.assertEqual(len({got.taps[0].name for got in held}), HELD_AT_ONCE)
        self.assertEqual(len(links.of_kind("macvtap")), HELD_AT_ONCE)
        pid = self.warden()
        self.assertLess(len(processes.descriptors(pid)), 20)
        for got in held[::2]:
            got.close()
        self.assertTrue(sandbox.eventually(lambda: len(links.of_kind("macvtap")) == HELD_AT_ONCE // 2, 120))
        self.assertEqual({link.name for link in links.of_kind("macvtap")}, {got.taps[0].name for got in held[1::2]})
        self.assertEqual(self.warden(), pid)
        closed = time.monotonic()
        for got in held:
            got.close()
        self.assertNothingLeft(120)
        note(f"warden: {HELD_AT_ONCE} macvtaps made in {made - begun:.1f} s, the last half of them gone after "
             f"{time.monotonic() - closed:.1f} s")

    def test_as_many_as_are_asked_for_at_the_same_time(self):
        begun = [self.start("macvtap=v0") for _ in range(60)]
        for proc, _sock in begun:
            self.assertEqual((proc.wait(60), proc.stderr.read()), (0, b""))
        fds = [handover.receive(sock)[1][0] for _proc, sock in begun]
        self.assertEqual(len({handover.inspect(fd).name for fd in fds}), len(begun))
        self.warden()
        for fd in fds:
            os.close(fd)


class Killed(WardenCase):

    def test_handovers_killed_by_their_caller_at_any_moment_leave_nothing(self):
        begun = time.monotonic()
        for _ in range(5):
            with self.granted("macvtap=v0", look=False):
                pass
        usual = (time.monotonic() - begun) / 5
        chance = random.Random(1)
        completed = 0
        for _ in range(KILLED_HANDOVERS):
            proc, sock = self.start("macvtap=v0,queues=2")
            time.sleep(chance.uniform(0, 1.2 * usual))
            proc.kill()
            proc.communicate(timeout=30)
            got = handover.receive(sock)
            if got and got[1]:
                self.assertEqual(len(got[1]), 2, "all of it or nothing")
                completed += 1
                for fd in got[1]:
                    os.close(fd)
            sock.close()
        self.assertNothingLeft(30)
        note(f"warden: of {KILLED_HANDOVERS} hand-overs killed within {1.2 * usual * 1000:.0f} ms {completed} were "
             "complete; nothing was left")

    @staticmethod
    def holder(fds, passed_on=None):
        """A process that has FDS, or what comes through the socket PASSED_ON, and waits."""
        pid = os.fork()
        if pid:
            return pid
        try:
            if passed_on:
                _data, fds, _flags, _address = socket.recv_fds(passed_on, 1, 8)
            for name in os.listdir("/proc/self/fd"):
                if int(name) not in fds and int(name) > 2:
                    try:
                        os.close(int(name))
                    except OSError:
                        pass
            signal.pause()
        finally:
            os._exit(1)

    def end(self, pid):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def gone_after(self, name):
        begun = time.monotonic()
        sandbox.eventually(lambda: not is_there(name), 30)
        return time.monotonic() - begun

    def test_holders_killed_in_a_row_leave_nothing(self):
        times = []
        for _ in range(KILLED_HOLDERS):
            with self.granted("macvtap=v0", look=False) as got:
                name, pid = got.taps[0].name, self.holder(got.fds)
            self.assertTrue(is_there(name))
            self.end(pid)
            times.append(self.gone_after(name))
        self.assertTimes(times, "its holder was killed")

    def test_holders_killed_after_they_passed_the_descriptor_on(self):
        times = []
        for _ in range(KILLED_HOLDERS):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                with self.granted("macvtap=v0", look=False) as got:
                    name, first = got.taps[0].name, self.holder(got.fds)
                    socket.send_fds(ours, [b"x"], got.fds)
                third = self.holder([], theirs)
            self.end(first)
            self.assertTrue(is_there(name), "the third process holds it")
            self.end(third)
            times.append(self.gone_after(name))
        self.assertTimes(times, "the third process that held it was killed")

    def assertTimes(self, times, what):
        times.sort()
        note(f"warden: gone after {what}, {len(times)} times: median {times[len(times) // 2] * 1000:.0f} ms, longest "
             f"{times[-1] * 1000:.0f} ms")
        self.assertLess(times[-1], GONE_S * FACTOR)
        self.assertEqual(nodes(), [])


if __name__ == "__main__":
    unittest.main()
