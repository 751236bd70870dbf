# SPDX-License-Identifier: MIT
"""`tapferry run` and `probe` by way of tapferryd: where setuid can't work, and where one says so."""
import contextlib
import os
import shutil
import subprocess
import unittest

import links
import sandbox
from broker_case import SOCKET, BrokerCase, need_broker
from command_case import PYTHON, CommandCase, need_command

# What stands in for the VM: says which interface its descriptor is, sends a frame, and holds it until its stdin ends.
GUEST = """\
import fcntl, os, sys
fd = int(sys.argv[1])
request = bytearray(40)
fcntl.ioctl(fd, 0x800454d2, request)
os.write(fd, bytes(12) + b"\\xff" * 6 + b"\\x52\\x54\\0\\0\\0\\1" + b"\\x88\\xb5" + bytes(46))
print(request[:16].split(b"\\0")[0].decode(), flush=True)
sys.stdin.read()
"""


def setUpModule():
    need_broker()
    need_command()


class Via(BrokerCase, CommandCase):
    """The helper is setuid root here, as installed."""

    def setUp(self):
        super().setUp()
        os.chmod(self.helper, 0o4755)
        self.guest = self.box.write(f"{sandbox.BASE}/bin/guest.py", GUEST)

    @contextlib.contextmanager
    def running(self, *options, wrap=(), user="alice"):
        """A `tapferry run` whose command holds the descriptor; gives the interface's name as the command sees it."""
        with self.box.popen([*wrap, self.command, "run", *options, "--net=bridge=br0", "--", PYTHON, self.guest, "{fds}"],
                            user, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            name = run.stdout.readline().strip()
            if not name:
                self.fail(run.communicate()[1])
            yield name
            run.communicate(timeout=20)

    def is_brokers(self, name):
        """Whether NAME was asked for by way of tapferryd, by its own line in the log."""
        self.assertEqual(links.get(name).master, "br0")
        return sandbox.eventually(lambda: any("tapferryd[" in str(line) for line in self.box.syslog.lines()), 1)

    def check(self, *options, wrap=()):
        with self.running(*options, wrap=wrap) as name:
            self.assertTrue(self.is_brokers(name))
            with open(f"/sys/class/net/{name}/statistics/rx_packets", encoding="ascii") as frames:
                self.assertEqual(int(frames.read()), 1, "the frame that the guest sent")
        self.assertGone(name)

    def test_broker_asks_the_broker(self):
        self.check("--via=broker")

    def test_helper_asks_the_helper(self):
        with self.running("--via=helper") as name:
            self.assertFalse(self.is_brokers(name))

    def test_auto_asks_the_helper_where_that_works(self):
        with self.running() as name:
            self.assertFalse(self.is_brokers(name))

    def test_auto_asks_the_broker_under_no_new_privs(self):
        self.check(wrap=["setpriv", "--no-new-privs"])

    def test_auto_asks_the_broker_from_a_user_namespace(self):
        for mapping in (["--map-root-user"], ["--map-current-user"], []):
            with self.subTest(mapping=mapping):
                self.box.syslog.clear()
                self.check(wrap=["unshare", "--user", *mapping])

    def test_auto_asks_the_broker_from_a_network_namespace_of_a_containers_own(self):
        # Its root may do everything to that network, but wants one of the host's bridges.
        self.check("--via=broker", wrap=["unshare", "--user", "--map-root-user", "--net"])

    def test_auto_asks_the_broker_on_a_nosuid_file_system(self):
        nosuid = self.box.nosuid_copy(self.helper)
        with self.running(wrap=["env", f"TAPFERRY_HELPER={nosuid}"]) as name:
            self.assertTrue(self.is_brokers(name))

    def test_from_a_sandbox_as_a_rootless_container_is(self):
        if not shutil.which("bwrap"):
            self.skipTest("bubblewrap is not installed (make deps)")
        # No device, no network, no other process, no privilege; only the broker's socket is there.
        wrap = ["bwrap", "--unshare-all", "--die-with-parent", "--cap-drop", "ALL", "--new-session"]
        for folder in ("/usr", "/bin", "/lib", "/lib64", "/etc", f"{sandbox.BASE}/bin"):
            wrap += ["--ro-bind", folder, folder]
        wrap += ["--dev", "/dev", "--ro-bind", SOCKET, SOCKET]
        self.check(wrap=wrap)

    def test_a_refusal_is_the_helpers_line(self):
        uid = self.box.users["alice"].uid
        done = self.fails("run", "--via=broker", "--net=bridge=br1", "--", PYTHON, "{fds}")
        self.assertEqual(done.stderr,
                         "tapferry: get bridge=br1: tapferry-helper: access denied by acl file: bridge=br1 is not allowed to uid "
                         f"{uid}, or there is no such interface; `tapferry explain --net=bridge=br1' says which rule decides\n")

    def test_without_a_broker_it_says_what_to_do(self):
        self.stop_daemon()
        done = self.fails("run", "--via=broker", "--net=bridge=br0", "--", PYTHON, "{fds}")
        self.assertEqual(done.stderr, f"tapferry: connect to the broker at {SOCKET}: No such file or directory; is tapferryd "
                         "running, and its socket visible in this container? tapferryd(8)\n")

    def test_probe_finds_everything_right(self):
        done = self.succeeds("probe", "--via=broker", "--net=bridge=br0,queues=2")
        self.assertNotIn("WRONG", done.stdout)

    def test_what_was_granted_is_brought_up_and_released(self):
        self.box.policy("allow bridge=br0 user=alice name=vm-* persist=on")
        for wrap, options, is_brokers in (((), (), False), ((), ("--via=broker",), True),
                                          (("setpriv", "--no-new-privs"), (), True)):
            with self.subTest(wrap=wrap, options=options):
                self.succeeds("probe", "--net=bridge=br0,name=vm-1,up=off,persist=on")
                self.assertFalse(links.get("vm-1").up)
                for command, gone in (("up", False), ("release", True)):
                    self.box.syslog.clear()
                    done = self.box.run([*wrap, self.command, command, "vm-1", *options], "alice")
                    self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
                    self.assertEqual(links.get("vm-1") is None, gone)
                    self.assertTrue(gone or links.get("vm-1").up)
                    self.assertEqual(any("tapferryd[" in str(line) for line in self.box.syslog.lines(at_least=1 + is_brokers)),
                                     is_brokers)
                uid = self.box.users["alice"].uid
                done = self.box.run([*wrap, self.command, "release", "vm-1", *options], "alice")
                self.assertEqual((done.returncode, done.stderr),
                                 (1, f"tapferry: release vm-1: tapferry-helper: release vm-1: uid {uid} has no interface of "
                                     "that name with persist=on\n"))

    def test_another_way_is_a_usage_error(self):
        self.fails("run", "--via=owl", "--net=bridge=br0", "--", "x", "{fds}", status=2, says="it is helper, broker or auto")
        self.fails("probe", "--via=broker", "--br=br0", status=2, says="--via=broker goes with --net")


if __name__ == "__main__":
    unittest.main()
