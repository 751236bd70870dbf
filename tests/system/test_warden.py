# SPDX-License-Identifier: MIT
"""The warden as a process: it exists before what it watches over, is out of the caller's reach, outlives him, and is
not noticed."""
import ctypes
import errno
import fcntl
import os
import re
import resource
import select
import signal
import socket
import tempfile
import termios
import time
import unittest

import handover
import holder
import links
import processes
import sandbox
from helper_case import need_helper as setUpModule  # noqa: F401
from warden_case import WardenCase, need_strace

PTRACE_ATTACH = 16  # sys/ptrace.h
IDLE_S = 3
GUEST = "52:54:00:00:00:01"


class Life(WardenCase):

    def test_exists_before_the_interface_does(self):
        need_strace()
        with tempfile.NamedTemporaryFile(mode="r") as trace:
            # strace follows it, and so ends with it.
            proc, sock = self.start("macvtap=v0", "strace", "-f", "-s", "64", "-u", "alice", "-o", trace.name,
                                    "-e", "trace=sendmsg,sendto,prctl")
            self.assertTrue(select.select([sock], [], [], 20)[0])
            pid = self.warden()
            _data, (fd,) = handover.receive(sock)
            os.close(fd)
            self.assertEqual(proc.wait(20), 0)
            lines = trace.read().splitlines()
        warden, = (line.split()[0] for line in lines if 'PR_SET_NAME, "tapferry-warden"' in line)
        ready = next(i for i, line in enumerate(lines) if line.startswith(warden) and '"ok' in line)
        made = next(i for i, line in enumerate(lines) if "RTM_NEWLINK" in line and "NLM_F_CREATE" in line)
        self.assertLess(ready, made)
        self.assertEqual(int(warden), pid)

    def test_there_is_one_for_all_of_a_namespace(self):
        held = [self.granted("macvtap=v0", user=user) for user in ("alice", "bob", "alice")]
        first = self.warden()
        held.append(self.granted(f"bridge=br0,lock=on,guest_mac={GUEST}"))
        self.assertEqual(self.warden(), first)
        for got in held[:-1]:
            got.close()
        self.assertTrue(sandbox.eventually(lambda: not links.of_kind("macvtap")))
        self.assertEqual(self.warden(), first, "it still watches over the locked tap")

    def test_there_is_none_where_none_is_needed(self):
        with self.granted("bridge=br0"), self.granted_br("br0"):
            self.assertEqual(processes.wardens(), [])

    def test_goes_with_the_last_that_it_watches_over(self):
        for spec in ("macvtap=v0", f"bridge=br0,lock=on,guest_mac={GUEST}", "bridge=br0,filter=auto"):
            with self.subTest(spec):
                with self.granted(spec):
                    self.warden()
                self.assertTrue(sandbox.eventually(lambda: not processes.wardens()))

    def test_goes_when_the_administrator_deletes_what_it_watches_over(self):
        got = self.granted("macvtap=v0,queues=2")
        sandbox.ip("link", "del", got.link.name)
        self.assertTrue(sandbox.eventually(lambda: not processes.wardens()))


class OutOfReach(WardenCase):
    """What the caller can't do to it, one by one."""

    def setUp(self):
        super().setUp()
        self.granted("macvtap=v0")
        self.pid = self.warden()

    def attempt(self, what, allowed=(errno.EPERM, errno.EACCES)):
        self.assertIn(holder.as_user("alice", what), allowed)
        self.assertTrue(processes.is_running(self.pid))

    def libc(self, name, *arguments):
        function = getattr(ctypes.CDLL(None, use_errno=True), name)
        if function(*arguments) == -1:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    def test_no_signal(self):
        for number in (0, signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGHUP, signal.SIGCONT):
            self.attempt(lambda number=number: os.kill(self.pid, number))
        self.attempt(lambda: os.killpg(self.pid, signal.SIGKILL))

    def test_no_tracing_and_no_look_inside(self):
        self.attempt(lambda: self.libc("ptrace", PTRACE_ATTACH, self.pid, None, None))
        for name in ("mem", "environ", "maps", "auxv", "syscall", "stack"):
            self.attempt(lambda name=name: open(f"/proc/{self.pid}/{name}", "rb").read(1))
        self.attempt(lambda: os.listdir(f"/proc/{self.pid}/fd"))
        self.attempt(lambda: os.readlink(f"/proc/{self.pid}/cwd"))

    def test_no_limits_and_no_scheduling(self):
        for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_CPU, resource.RLIMIT_AS):
            self.attempt(lambda limit=limit: resource.prlimit(self.pid, limit, (0, 0)))
        self.attempt(lambda: os.setpriority(os.PRIO_PROCESS, self.pid, 19))
        self.attempt(lambda: os.sched_setaffinity(self.pid, {0}))
        self.attempt(lambda: os.sched_setscheduler(self.pid, os.SCHED_IDLE, os.sched_param(0)))
        self.attempt(lambda: open(f"/proc/{self.pid}/oom_score_adj", "w", encoding="ascii").write("1000"))

    def test_the_maker_is_neither(self):
        need_strace()
        processes.wait_for_no_maker()  # setUp()'s
        proc, _sock = self.start("macvtap=v0", "strace", "-qq", "-o", os.devnull, "-u", "alice",
                                 "-P", "/etc/tapferry/policy.conf", "-e", "inject=openat:signal=SIGSTOP")
        self.assertTrue(sandbox.eventually(processes.makers, 20))
        self.pid, = processes.makers()
        sandbox.eventually(lambda: processes.status(self.pid)["NoNewPrivs"] == "1", 20)
        for number in (signal.SIGKILL, signal.SIGSTOP):
            self.attempt(lambda number=number: os.kill(self.pid, number))
        self.attempt(lambda: self.libc("ptrace", PTRACE_ATTACH, self.pid, None, None))
        processes.kill_and_wait(*processes.fronts(self.helper))
        proc.wait(20)
        processes.wait_for_no_maker()


class Unnoticed(WardenCase):

    def test_outlives_the_callers_process_group_and_terminal(self):
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        terminal, its_end = os.openpty()

        def own_session():
            os.setsid()
            fcntl.ioctl(its_end, termios.TIOCSCTTY, 0)

        with theirs:
            command = f"{self.helper} --net=macvtap=v0 --fd={theirs.fileno()}; sleep 60"
            shell = self.box.popen(["sh", "-c", command], pass_fds=[theirs.fileno(), its_end],
                                   preexec_fn=own_session, stdin=its_end, stdout=its_end, stderr=its_end)
        os.close(its_end)
        select.select([ours], [], [], 20)
        _data, fds = handover.receive(ours)
        name = handover.inspect(fds[0]).name
        pid = self.warden()
        os.close(terminal)  # SIGHUP
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(shell.pid, number)
            except ProcessLookupError:
                break
        shell.wait(20)
        self.assertEqual((self.warden(), processes.session(pid)), (pid, (pid, pid)))
        self.assertIsNotNone(links.get(name))
        os.close(fds[0])
        self.assertGone(name)

    def test_holds_none_of_the_callers_descriptors(self):
        reading, writing = os.pipe()
        low, high = writing, fcntl.fcntl(writing, fcntl.F_DUPFD, 900)
        got = self.granted("macvtap=v0", pass_fds=[low, high])
        self.assertTrue(got.eof, "nobody has the caller's socket")
        os.close(low)
        os.close(high)
        self.assertEqual(os.read(reading, 1), b"", "and nobody his pipe")
        os.close(reading)

    def test_says_nothing_and_waits_for_nobody(self):
        # ask() reads stdout and stderr to their ends, which come only if nobody has them any more.
        got = self.granted("macvtap=v0")
        self.assertEqual((got.stdout, got.stderr), ("", ""))

    def test_has_no_descriptor_of_any_interface(self):
        with self.granted("macvtap=v0,queues=3"), self.granted(f"bridge=br0,lock=on,guest_mac={GUEST}"):
            found = set(processes.descriptors(self.warden()).values())
            self.assertEqual({re.sub(r"\d+", "N", what) for what in found},
                             {"/dev/null", "socket:[N]", "anon_inode:inotify"})

    def test_costs_no_processor_time_while_nothing_happens(self):
        held = [self.granted("macvtap=v0,queues=2") for _ in range(3)]
        held.append(self.granted("bridge=br0,filter=auto"))
        pid = self.warden()
        before = processes.ticks(pid)
        time.sleep(IDLE_S)
        self.assertEqual(processes.ticks(pid), before)

    def test_has_limits_of_its_own(self):
        worse = "ulimit -S -t 7; ulimit -S -n 20; echo 900 > /proc/self/oom_score_adj; exec \"$@\""
        self.granted("macvtap=v0", wrap=["sh", "-c", worse, "sh"])
        with open(f"/proc/{self.warden()}/limits", encoding="ascii") as file:
            limits = {line[:26].strip(): line[26:].split() for line in file}
        self.assertEqual(limits["Max cpu time"][0], "unlimited")
        self.assertGreater(int(limits["Max open files"][0]), 20)
        with open(f"/proc/{self.warden()}/oom_score_adj", encoding="ascii") as file:
            self.assertEqual(file.read(), "0\n", "it isn't the first that is killed for want of memory")


if __name__ == "__main__":
    unittest.main()
