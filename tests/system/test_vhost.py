# SPDX-License-Identifier: MIT
"""vhost=: descriptors of /dev/vhost-net beside the tap's. Half of it is about hosts that have none, or something else
at that path; the other half needs the kernel's module (tests/vm/test_vhost_net.py runs it under one that has it)."""
import contextlib
import fcntl
import os
import stat
import struct
import unittest

import sandbox
from command_case import CommandCase, need_command

NODE = "/dev/vhost-net"
DEVICE = os.makedev(10, 238)  # MISC_MAJOR, VHOST_NET_MINOR: linux/miscdevice.h
VHOST_GET_FEATURES = 0x8008af00  # linux/vhost.h
MRG_RXBUF = 1 << 15  # of all vhost devices only vhost-net has it

ABSENT = "failed to open /dev/vhost-net: No such file or directory; load it with: modprobe vhost_net"
NOT_IT = "failed to open /dev/vhost-net: it is not the vhost-net device"


def setUpModule():
    need_command()


def make_node(mode=0o600, group=0, device=DEVICE):
    os.mknod(NODE, stat.S_IFCHR | 0o600, device)
    os.chown(NODE, 0, group)
    os.chmod(NODE, mode)


def remove_node():
    with contextlib.suppress(FileNotFoundError):
        if os.path.isdir(NODE) and not os.path.islink(NODE):
            os.rmdir(NODE)
        else:
            os.unlink(NODE)


def why_no_vhost_net():
    """Why this kernel has none; None where it has."""
    remove_node()
    make_node()
    try:
        os.close(os.open(NODE, os.O_RDWR))
    except OSError as error:
        return f"kernel: it has no vhost-net ({error.strerror})"
    finally:
        remove_node()
    return None


def is_vhost_net(fd):
    features = bytearray(8)
    try:
        fcntl.ioctl(fd, VHOST_GET_FEATURES, features)
    except OSError:
        return False
    return os.fstat(fd).st_rdev == DEVICE and bool(struct.unpack("Q", features)[0] & MRG_RXBUF)


class VhostCase(CommandCase):
    """There is no node, and alice may ask for vhost-net on br0."""

    def setUp(self):
        super().setUp()
        remove_node()
        self.addCleanup(remove_node)
        self.box.policy("allow bridge=br0 queues=64 vhost=on", "allow bridge=br1 queues=64", "allow tap=* vhost=on")

    def granted_none(self, spec, **options):
        got = self.granted(spec, **options)
        self.assertEqual((got.record["vhost"], len(got.fds)), (0, got.record["queues"]))
        return got

    def granted_all(self, spec, **options):
        """As many of vhost-net as queues, behind them, all non-blocking."""
        got = self.granted(spec, **options)
        queues = got.record["queues"]
        self.assertEqual((got.record["vhost"], len(got.fds)), (queues, 2 * queues))
        self.assertEqual([bool(tap.name) for tap in got.taps], [True] * queues + [False] * queues)
        self.assertEqual([is_vhost_net(fd) for fd in got.fds], [False] * queues + [True] * queues)
        self.assertTrue(all(tap.nonblocking for tap in got.taps))
        self.assertEqual(len({os.fstat(fd).st_ino for fd in got.fds[queues:]}), 1)
        return got

    def facts(self, *arguments, status=0, **options):
        done = self.tapferry("probe", *arguments, **options)
        self.assertEqual(done.returncode, status, done.stderr + done.stdout)
        return done.stdout


class NoVhostNet(VhostCase):
    """Where the node is missing, auto means none, and on is refused."""

    def test_auto_hands_over_none(self):
        self.granted_none("bridge=br0,vhost=auto")
        self.granted_none("bridge=br0,vhost=auto,queues=3")
        self.granted_none("tap,vhost=auto")

    def test_on_is_refused_with_what_to_do(self):
        self.refused("bridge=br0,vhost=on", says=ABSENT)
        self.refused("tap=vm1,vhost=on", says=ABSENT)

    def test_node_without_a_driver_is_the_same(self):
        if not why_no_vhost_net():
            self.skipTest("kernel: it has vhost-net")
        make_node(0o666)
        self.granted_none("bridge=br0,vhost=auto")
        self.refused("bridge=br0,vhost=on", says="/dev/vhost-net: No such device; load it with: modprobe vhost_net")

    def test_off_and_unsaid_need_no_node(self):
        self.granted_none("bridge=br0,vhost=off")
        self.granted_none("bridge=br0")
        self.granted_br("br0")

    def test_policy_comes_before_the_node(self):
        self.refused("bridge=br1,vhost=on", says="access denied")
        self.refused("bridge=br1,vhost=auto", says="access denied")

    def test_run_adds_no_option_for_none(self):
        path = self.box.write(f"{sandbox.BASE}/bin/qemu-system-fake", '#!/bin/sh\nprintf "%s\\n" "$@"\n', mode=0o755)
        done = self.succeeds("run", "--net=bridge=br0,vhost=auto", "--", path)
        self.assertEqual(done.stdout.splitlines()[1], "tap,id=tapferry0,fd=3")
        done = self.succeeds("run", "--net=bridge=br0,vhost=auto", "--", "echo", "{fds}", "<{vhostfds}>")
        self.assertEqual(done.stdout, "3 <>\n")
        self.fails("run", "--net=bridge=br0,vhost=on", "--", path, says=ABSENT)

    def test_probe_finds_none_right_with_auto(self):
        self.assertRegex(self.facts("--net=bridge=br0,vhost=auto"), r"(?m)^of vhost-net +0 +0 +ok$")


class ForbiddenVhostNet(VhostCase):
    """A node that the process may not open, where root's rights don't help."""

    def setUp(self):
        super().setUp()
        caps = "cap_net_admin,cap_setpcap+ep"
        self.helper = self.box.install_helper(name="tapferry-helper-caps", caps=caps)
        make_node(0o600)

    def test_counts_as_none_with_auto(self):
        self.granted_none("bridge=br0,vhost=auto")

    def test_is_refused_with_on(self):
        self.refused("bridge=br0,vhost=on", says="open /dev/vhost-net: Permission denied")


class SomethingElse(VhostCase):
    """What lies at the path is told by what it is; with auto too, since somebody has put it there."""

    def check(self, says=NOT_IT):
        for word in ("on", "auto"):
            self.refused(f"bridge=br0,vhost={word}", says=says)
        self.granted_none("bridge=br0")

    def test_regular_file(self):
        self.box.write(NODE, "x", mode=0o666)
        self.check()
        self.assertEqual(os.stat(NODE).st_size, 1)

    def test_other_character_devices(self):
        for number in (os.makedev(1, 3), sandbox.TUN_DEVICE):
            remove_node()
            make_node(0o666, device=number)
            self.check()

    def test_symbolic_link(self):
        os.symlink("/dev/null", NODE)
        self.check()

    def test_symbolic_link_to_a_node_of_that_number(self):
        other = f"{sandbox.BASE}/tmp/vhost-net"
        self.addCleanup(os.unlink, other)
        os.mknod(other, stat.S_IFCHR | 0o666, DEVICE)
        os.symlink(other, NODE)
        self.check()

    def test_fifo(self):
        os.mkfifo(NODE)
        self.check()

    def test_directory(self):
        os.mkdir(NODE)
        self.check("/dev/vhost-net: Is a directory")


class OtherHelpers(VhostCase):
    """`run` and `probe` with a helper whose descriptors are known, on any kernel."""

    def fake(self, queues, others):
        flags = 0x5102 if queues > 1 else 0x5002
        return self.fake_helper(f"""
            fds = [tap(flags={flags}) for _ in range({queues})]
            fds += [os.open("/dev/null", os.O_RDWR | os.O_NONBLOCK) for _ in range({others})]
            send(record(queues={queues}, vhost={others}), *fds)
        """)

    def test_run_names_one_for_qemu(self):
        path = self.box.write(f"{sandbox.BASE}/bin/qemu-system-fake", '#!/bin/sh\nprintf "%s\\n" "$@"\n', mode=0o755)
        done = self.succeeds("run", f"--helper={self.fake(1, 1)}", "--net=tap,vhost=on", "--", path, user="root")
        self.assertEqual(done.stdout.splitlines()[1], "tap,id=tapferry0,fd=3,vhost=on,vhostfd=4")

    def test_run_names_one_for_each_queue(self):
        path = self.box.write(f"{sandbox.BASE}/bin/qemu-system-fake", '#!/bin/sh\nprintf "%s\\n" "$@"\n', mode=0o755)
        helper = self.fake(3, 3)
        spec = "--net=tap,queues=3,vhost=auto"
        done = self.succeeds("run", f"--helper={helper}", spec, "--", path, user="root")
        self.assertEqual(done.stdout.splitlines()[1], "tap,id=tapferry0,fds=3:4:5,vhost=on,vhostfds=6:7:8")
        done = self.succeeds("run", f"--helper={helper}", spec, "--", "sh", "-c",
                             "readlink /proc/self/fd/6; echo {fds} {vhostfds}", user="root")
        self.assertEqual(done.stdout, "/dev/null\n3:4:5 6:7:8\n")

    def test_probe_tells_what_is_no_vhost_net(self):
        text = self.facts(f"--helper={self.fake(1, 1)}", "--net=tap,vhost=on", status=1, user="root")
        self.assertRegex(text, r"(?m)^of vhost-net +1 +0 +WRONG$")
        self.assertRegex(text, r"(?m)^fd 1 kind +vhost-net +/dev/null +WRONG$")

    def test_probe_tells_that_some_are_missing(self):
        text = self.facts(f"--helper={self.fake(1, 0)}", "--net=tap,vhost=on", status=1, user="root")
        self.assertRegex(text, r"(?m)^descriptors +2 +1 +WRONG$")


class VhostNet(VhostCase):
    """With the kernel's own vhost-net."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        why = why_no_vhost_net()
        if why:
            raise unittest.SkipTest(why)

    def setUp(self):
        super().setUp()
        make_node()

    def test_one_for_each_queue(self):
        self.granted_all("bridge=br0,vhost=on")
        self.granted_all("bridge=br0,vhost=on,queues=3")
        self.granted_all("tap,vhost=on")

    def test_one_for_each_queue_of_a_macvtap(self):
        self.box.policy("allow macvtap=v0 queues=2 vhost=on")
        self.box.veth("v0", "v1")
        self.granted_all("macvtap=v0,queues=2,vhost=on")

    def test_auto_is_on_where_there_is_one(self):
        self.granted_all("bridge=br0,vhost=auto,queues=2")

    def test_as_many_as_there_can_be(self):
        self.granted_all("bridge=br0,vhost=on,queues=64")

    def test_off_hands_over_none(self):
        self.granted_none("bridge=br0,vhost=off")

    def test_every_mode_of_the_node_will_do(self):
        vms = self.box.users["alice"].groups[0]
        for mode, group in ((0o600, 0), (0o660, vms), (0o660, 0), (0o666, 0)):
            with self.subTest(mode=oct(mode), group=group):
                remove_node()
                make_node(mode, group)
                self.granted_all("bridge=br0,vhost=on")

    def test_group_of_the_node_suffices_for_a_helper_without_roots_rights(self):
        self.helper = self.box.install_helper(name="tapferry-helper-caps", caps="cap_net_admin,cap_setpcap+ep")
        remove_node()
        make_node(0o660, self.box.users["alice"].groups[0])
        self.granted_all("bridge=br0,vhost=on")
        self.refused("bridge=br0,vhost=on", user="bob", says="Permission denied")

    def test_policy_without_it_refuses(self):
        self.refused("bridge=br1,vhost=on", says="access denied")
        self.refused("bridge=br1,vhost=auto", says="access denied")

    def test_probe_says_what_it_is(self):
        text = self.facts("--net=bridge=br0,vhost=on,queues=2")
        self.assertIn("all as asked", text)
        self.assertRegex(text, r"(?m)^of vhost-net +2 +2 +ok$")
        self.assertRegex(text, r"(?m)^fd 3 kind +vhost-net +vhost-net +ok$")
        self.assertRegex(text, r"(?m)^fd 3 path +- +/dev/vhost-net +-$")
        self.assertRegex(text, r"(?m)^fd 3 features +- +mrg_rxbuf .*version_1")

    def test_run_passes_them_on(self):
        done = self.succeeds("run", "--net=bridge=br0,vhost=on,queues=2", "--", "sh", "-c",
                             "readlink /proc/self/fd/6; echo {fds} {vhostfds}")
        self.assertEqual(done.stdout, "/dev/vhost-net\n3:4 5:6\n")


if __name__ == "__main__":
    unittest.main()
