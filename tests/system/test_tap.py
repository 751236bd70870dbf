# SPDX-License-Identifier: MIT
"""tap=NAME: made or attached to, and what becomes of taps that a holder made persistent."""
import fcntl
import os
import struct
import unittest

import links
import sandbox
from helper_case import HelperCase, need_helper

TUNSETIFF, TUNSETPERSIST = 0x400454ca, 0x400454cb  # linux/if_tun.h
IFF_TAP, IFF_NO_PI, IFF_MULTI_QUEUE = 0x2, 0x1000, 0x100


def setUpModule():
    need_helper()


class CreateAndAttach(HelperCase):

    def setUp(self):
        super().setUp()
        self.box.policy("allow tap=vm-* queues=4", "allow tap=* user=carol")

    def persistent(self, name, user="alice", *words):
        sandbox.ip("tuntap", "add", "dev", name, "mode", "tap", "user", str(self.box.users[user].uid), *words)

    def test_creates_a_tap_that_is_nobodys_port(self):
        got = self.granted("tap=vm-1")
        self.assertEqual((got.link.name, got.link.master, got.link.up), ("vm-1", "", True))
        self.assertEqual((got.record["kind"], got.record["ifname"], got.record["queues"]), ("tap", "vm-1", 1))
        got.close()
        self.assertGone("vm-1")

    def test_creates_one_without_a_name(self):
        got = self.granted("tap", user="carol")
        self.assertRegex(got.link.name, r"\Atap\d+\Z")

    def test_attaches_to_the_callers_persistent_tap(self):
        self.persistent("vm-1", "alice", "vnet_hdr")
        index = links.get("vm-1").index
        got = self.granted("tap=vm-1")
        self.assertEqual((got.link.index, got.record["ifindex"]), (index, index))
        self.assertEqual(got.taps[0].header_size, 12)
        got.close()
        self.assertIsNotNone(links.get("vm-1"), "an administrator's persistent tap stays")

    def test_attaching_takes_no_capability_so_anothers_tap_is_refused(self):
        self.persistent("vm-1", "bob")
        self.refused("tap=vm-1")

    def test_attaches_several_queues(self):
        self.persistent("vm-1", "alice", "vnet_hdr", "multi_queue")
        got = self.granted("tap=vm-1,queues=2")
        self.assertEqual([tap.name for tap in got.taps], ["vm-1", "vm-1"])

    def test_a_tap_that_somebody_holds_is_refused(self):
        self.persistent("vm-1", "alice", "vnet_hdr")
        self.granted("tap=vm-1")
        self.refused("tap=vm-1")

    def test_names_of_other_interfaces_are_refused(self):
        self.box.policy("allow tap=*")
        for name in ("lo", "br0"):
            self.refused(f"tap={name}")

    def test_rule_decides_on_the_name(self):
        self.refused("tap=other")
        self.refused("tap")
        self.granted("tap=other", user="carol")


class Persistent(HelperCase):
    """A holder can TUNSETPERSIST without any privilege; such a tap doesn't outlive the next hand-over."""

    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 max=2", "allow bridge=br1")

    def made_persistent(self):
        got = self.granted("bridge=br0")
        fcntl.ioctl(got.fds[0], TUNSETPERSIST, 1)
        return got

    def test_is_swept_at_the_next_hand_over(self):
        got = self.made_persistent()
        got.close()
        self.assertIsNotNone(links.get(got.link.name))
        self.granted_br("br1")
        self.assertGone(got.link.name)

    def test_frees_its_place_in_the_quota(self):
        for _ in range(4):
            self.made_persistent().close()
        self.granted("bridge=br0")

    def test_is_left_alone_while_it_is_held(self):
        got = self.made_persistent()
        self.granted("bridge=br1")
        self.assertIsNotNone(links.get(got.link.name))

    def test_is_left_alone_when_it_is_not_ours(self):
        sandbox.ip("tuntap", "add", "dev", "admins", "mode", "tap")
        sandbox.ip("link", "set", "admins", "alias", "tapferry is not the author of this")
        self.granted("bridge=br0")
        self.assertIsNotNone(links.get("admins"))

    def test_cannot_be_taken_over_by_another_user(self):
        name = self.made_persistent().link.name
        done = self.box.run(["/usr/bin/python3", "-c", (
            "import fcntl, os, struct, sys\n"
            "fd = os.open('/dev/net/tun', os.O_RDWR)\n"
            f"fcntl.ioctl(fd, {TUNSETIFF}, struct.pack('16sH22x', b'{name}', {IFF_TAP | IFF_NO_PI}))\n")],
            user="bob")
        self.assertIn("Operation not permitted", done.stderr)


class Queues(HelperCase):
    """What the owner of a tap may do by himself, so that the manual's words stay true."""

    def test_owner_can_attach_more_queues_to_a_multi_queue_tap(self):
        self.box.policy("allow bridge=br0 queues=2")
        got = self.granted("bridge=br0,queues=2")
        alice = self.box.users["alice"]
        pid = os.fork()
        if pid == 0:
            os.setgroups([])
            os.setgid(alice.gid)
            os.setuid(alice.uid)
            try:
                fd = os.open("/dev/net/tun", os.O_RDWR)
                flags = got.taps[0].flags & ~0x800
                fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", got.link.name.encode(), flags))
                os._exit(0)
            except OSError:
                os._exit(1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)


if __name__ == "__main__":
    unittest.main()
