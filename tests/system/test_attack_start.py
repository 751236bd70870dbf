# SPDX-License-Identifier: MIT
"""How the program is started is the caller's choice: arguments, environment, descriptors, limits."""
import ctypes
import itertools
import os
import resource
import signal
import socket
import subprocess
import unittest

import handover
import links
import sandbox
from helper_case import HelperCase, need_helper


def setUpModule():
    need_helper()


CAP_SYS_RESOURCE = 24  # linux/capability.h


def limit(which, value):
    return lambda: resource.setrlimit(which, (value, value))


class Start(HelperCase):
    """How the program is started is the caller's choice."""

    def setUp(self):
        super().setUp()
        self.box.policy("allow br0")

    def test_cve_2021_4034_argc_0(self):
        """exec with no argument at all, and an environment that would be read as arguments."""
        before = links.snapshot()
        pid = os.fork()
        if pid == 0:
            alice = self.box.users["alice"]
            os.setgroups([])
            os.setgid(alice.gid)
            os.setuid(alice.uid)
            argv = (ctypes.c_char_p * 1)(None)
            envp = (ctypes.c_char_p * 3)(b"--br=br0", b"--fd=0", None)
            ctypes.CDLL(None).execve(self.helper.encode(), argv, envp)
            os._exit(99)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.assertGreater(status, 0)
        self.assertNotEqual(status, 99)
        self.assertEqual(links.snapshot(), before)

    def test_cve_2013_4400_cve_2012_3524_environment_is_not_used(self):
        hostile = {"PATH": "/nonexistent", "LD_PRELOAD": "/nonexistent.so", "LD_LIBRARY_PATH": "/tmp",
                   "GCONV_PATH": "/tmp", "LANG": "xx_XX.UTF-8", "LC_ALL": "xx", "TZ": "/etc/shadow", "IFS": "x",
                   "DBUS_SYSTEM_BUS_ADDRESS": "unixexec:path=/tmp/x", "XDG_CONFIG_HOME": "/tmp", "TMPDIR": "/nonexistent",
                   "G_MESSAGES_DEBUG": "all", "GLIBC_TUNABLES": "glibc.malloc.check=3", "SYSCONFDIR": "/tmp",
                   "TAPFERRY_POLICY": "/tmp/x", "NOTIFY_SOCKET": "/tmp/x", "LOCALDOMAIN": "x", "HOME": "/nonexistent"}
        got = handover.qemu(self.box, self.helper, "br0", env=hostile)
        self.addCleanup(got.close)
        self.assertEqual((got.status, got.stderr, got.data), (0, "", b"\0"))
        refused = handover.qemu(self.box, self.helper, "br1", env=hostile)
        plain = handover.qemu(self.box, self.helper, "br1")
        self.assertEqual((refused.status, refused.stderr), (plain.status, plain.stderr))

    def test_cve_2021_44730_hard_link_elsewhere(self):
        """Neither the program's place nor argv[0] leads to another policy or program."""
        home = f"{sandbox.BASE}/bin/mine"  # a link can't cross mounts, so a directory on the same one
        os.makedirs(f"{home}/etc/tapferry", exist_ok=True)
        os.chown(home, self.box.users["alice"].uid, -1)
        linked = f"{home}/tapferry-helper"
        if os.path.exists(linked):
            os.unlink(linked)
        os.link(self.helper, linked)
        self.box.write(f"{home}/etc/tapferry/policy.conf", "allow all\n")
        self.box.write(f"{home}/policy.conf", "allow all\n")
        before = links.snapshot()
        got = handover.qemu(self.box, linked, "br1", cwd=home)
        self.check_refusal(got, before, "access denied by acl file")
        got = handover.ask(self.box, self.helper, ["--fd={fd}", "--br=br1"], cwd=home,
                           executable=linked, wrap=[])
        self.assertNotEqual(got.status, 0)
        self.assertEqual(got.fds, [])

    def test_hostile_argv0(self):
        for name in ("", "/", "../../x", "\n\nforged", "%s%n", "x" * 5000):
            with self.subTest(name=name[:20]):
                before = links.snapshot()
                got = handover.ask(self.box, name, ["--br=br1", "--fd={fd}"], executable=self.helper)
                self.check_refusal(got, before, "access denied by acl file")

    def test_closed_standard_descriptors(self):
        """The tun node or the policy must not become fd 0, 1 or 2, where a message would go."""
        for closed in itertools.chain.from_iterable(itertools.combinations((0, 1, 2), n) for n in (1, 2, 3)):
            for bridge in ("br0", "br1"):
                with self.subTest(closed=closed, bridge=bridge):
                    self.closed_start(closed, bridge)

    def closed_start(self, closed, bridge):
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                os.set_inheritable(theirs.fileno(), True)
                redirect = " ".join(f"{fd}>&-" for fd in closed)
                proc = self.box.popen(["sh", "-c", f'exec "$@" {redirect}', "sh", self.helper, "--use-vnet",
                                       f"--fd={theirs.fileno()}", f"--br={bridge}"],
                                      pass_fds=[theirs.fileno()], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE)
            out, err = proc.communicate(timeout=20)
            messages, fds, eof = handover.drain(ours)
        names = [handover.inspect(fd).name for fd in fds]
        for fd in fds:
            os.close(fd)
        self.assertTrue(eof)
        self.assertEqual(out, b"")
        if bridge == "br0":
            self.assertEqual((proc.returncode, err, messages), (0, b"", [(b"\0", 1)]))
            self.assertTrue(names[0])
        else:
            self.assertGreater(proc.returncode, 0)
            self.assertEqual((messages, bool(err)), ([], 2 not in closed))

    def test_socket_as_fd_0(self):
        """QEMU's sh -c form can put the socket anywhere, fd 0 included."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                proc = self.box.popen([self.helper, "--fd=0", "--br=br0"], stdin=theirs)
            self.assertEqual(proc.wait(20), 0)
            messages, fds, _eof = handover.drain(ours)
            self.assertEqual(messages, [(b"\0", 1)])
            os.close(fds[0])

    def test_ignored_and_blocked_signals(self):
        def ignore_all():
            for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGALRM, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        got = handover.qemu(self.box, self.helper, "br0", preexec_fn=ignore_all)
        self.addCleanup(got.close)
        self.assertEqual(got.status, 0)

    def test_umask_and_working_directory(self):
        def odd():
            os.umask(0o777)
            os.chdir("/proc/self/fd")
        self.granted_br(preexec_fn=odd)


class Limits(HelperCase):
    """The caller's resource limits decide nothing."""

    def nested_deny(self, depth):
        self.box.policy("allow br0", "include /etc/tapferry/policy.d/n0.conf")
        for level in range(depth):
            self.box.policy_include(f"n{level}.conf", f"include /etc/tapferry/policy.d/n{level + 1}.conf")
        self.box.policy_include(f"n{depth}.conf", "deny br0")

    def test_nested_include_deny_holds_under_rlimit_nofile_3_to_8(self):
        self.nested_deny(5)
        for files in (*range(4, 9), 1024):
            for which in ("-Sn", "-n"):
                with self.subTest(files=files, which=which):
                    before = links.snapshot()
                    self.check_refusal(self.low_fd_ask(files, which), before)

    def test_rlimit_nofile_3_does_not_even_start(self):
        """The dynamic linker needs a fourth descriptor; the refusal is its own."""
        self.nested_deny(5)
        before = links.snapshot()
        got = self.low_fd_ask(3)
        self.assertEqual((got.status, got.data, got.fds), (127, b"", []))
        self.assertEqual(links.snapshot(), before)

    def low_fd_ask(self, files, which="-n"):
        """QEMU's form with the socket as fd 0, since a limit of 3 leaves 0, 1 and 2 only."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                proc = self.box.popen(
                    ["sh", "-c", f'ulimit {which} {files}; exec "$@"', "sh", self.helper, "--fd=0", "--br=br0"],
                    stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            out, err = proc.communicate(timeout=20)
            messages, fds, eof = handover.drain(ours)
        return handover.Handover(proc.returncode, err.decode(), out.decode(), messages,
                                 [handover.inspect(fd) for fd in fds], eof)

    def test_low_soft_rlimit_nofile_does_not_stop_a_grant(self):
        self.box.policy("allow br0")
        for files in range(4, 9):
            with self.subTest(files=files):
                got = self.low_fd_ask(files, "-Sn")
                self.addCleanup(got.close)
                self.assertEqual((got.status, got.stderr, got.data), (0, "", b"\0"))

    def test_low_hard_rlimit_nofile_is_raised_where_root_may(self):
        """Without CAP_SYS_RESOURCE (a container's root) it is a refusal like any other."""
        self.box.policy("allow br0")
        with open("/proc/self/status", encoding="ascii") as file:
            bounding = next(int(line.split()[1], 16) for line in file if line.startswith("CapBnd:"))
        for files in range(4, 9):
            with self.subTest(files=files):
                before = links.snapshot()
                got = self.low_fd_ask(files, "-n")
                if bounding >> CAP_SYS_RESOURCE & 1:
                    self.assertEqual((got.status, got.stderr, got.data), (0, "", b"\0"))
                    got.close()
                else:
                    self.check_refusal(got, before)

    def test_rlimit_fsize_0(self):
        self.box.policy("allow br0")
        self.granted_br(preexec_fn=limit(resource.RLIMIT_FSIZE, 0))
        self.refused_br("br1", preexec_fn=limit(resource.RLIMIT_FSIZE, 0))

    def test_rlimit_as(self):
        """Too little memory is a refusal like any other, or doesn't matter; never half a hand-over."""
        self.box.policy("allow br0")
        for size in (1 << 16, 1 << 20, 2 << 20, 4 << 20, 5 << 20, 6 << 20, 8 << 20, 16 << 20, 64 << 20):
            with self.subTest(size=size):
                before = links.snapshot()
                got = handover.qemu(self.box, "sh", "br0", wrap=[
                    "sh", "-c", f'ulimit -v {size >> 10}; shift; exec {self.helper} "$@"', "sh"])
                ok = got.status == 0
                self.assertEqual((got.data, len(got.fds)), (b"\0", 1) if ok else (b"", 0))
                got.close()
                self.assertTrue(sandbox.eventually(lambda: links.snapshot() == before))

    def test_rlimit_cpu_nproc_stack_core(self):
        self.box.policy("allow br0")
        limits = [(resource.RLIMIT_CPU, 1), (resource.RLIMIT_NPROC, 0), (resource.RLIMIT_CORE, 0),
                  (resource.RLIMIT_MEMLOCK, 0)]
        if not self.is_sanitized():  # AddressSanitizer's own memory needs more
            limits += [(resource.RLIMIT_STACK, 64 << 10), (resource.RLIMIT_DATA, 64 << 20)]
        for which, value in limits:
            with self.subTest(which=which):
                self.granted_br(preexec_fn=limit(which, value))

    def is_sanitized(self):
        with open(self.helper, "rb") as file:
            return b"__asan_init" in file.read()


if __name__ == "__main__":
    unittest.main()
