# SPDX-License-Identifier: MIT
"""macvtap=PARENT: made as asked, opened through nodes of its own, and gone with the last descriptor."""
import os
import signal
import socket
import subprocess
import time
import unittest

import frames
import links
import processes
import sandbox
from helper_case import HelperCase, need_helper


def setUpModule():
    need_helper()


class MacvtapCase(HelperCase):
    """A veth pair: v0 is the parent, v1 the wire's other end."""

    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")
        self.box.policy("allow macvtap=v0 queues=8 mtu=9000 mac=52:54:00:* name=vm-* "
                        "mode=bridge,vepa,private,passthru,source max=32")

    def tearDown(self):
        self.doCleanups()
        self.assertTrue(sandbox.eventually(lambda: not links.of_kind("macvtap")), "a macvtap stays")
        self.assertTrue(sandbox.eventually(lambda: not processes.named("tapferry-")), processes.named("tapferry-"))
        self.assertEqual(os.listdir("/dev/tapferry") if os.path.isdir("/dev/tapferry") else [], [])


class Made(MacvtapCase):

    def test_on_its_parent_tagged_and_up(self):
        got = self.granted("macvtap=v0")
        self.assertRegex(got.link.name, r"\Amvtap\d+\Z")
        self.assertEqual((got.link.kind, got.link.raw["link"], got.link.data["mode"], got.link.up),
                         ("macvtap", "v0", "bridge", True))
        self.assertIn(f"tapferry uid={self.box.users['alice'].uid} kind=macvtap upper=v0 ", got.link.alias)
        self.assertEqual((got.record["kind"], got.record["ifname"], got.record["ifindex"], got.record["upper"]),
                         ("macvtap", got.link.name, got.link.index, "v0"))
        self.assertEqual((got.record["mac"], got.record["mtu"], got.record["up"]), (got.link.mac, 1500, True))

    def test_its_queue_is_ready_for_a_vm(self):
        got = self.granted("macvtap=v0")
        self.assertEqual([tap.name for tap in got.taps], [got.link.name])
        self.assertEqual(got.taps[0].flag_names, ["no_pi", "tap", "vnet_hdr"])
        self.assertEqual((got.taps[0].header_size, got.taps[0].nonblocking), (12, True))

    def test_without_a_vnet_header(self):
        got = self.granted("macvtap=v0,vnet_hdr=off")
        self.assertEqual((got.taps[0].flag_names, got.record["vnet_hdr_sz"]), (["no_pi", "tap"], 0))

    def test_with_several_queues(self):
        got = self.granted("macvtap=v0,queues=4")
        self.assertEqual([tap.flag_names for tap in got.taps], [["multi_queue", "no_pi", "tap", "vnet_hdr"]] * 4)
        self.assertEqual({tap.name for tap in got.taps}, {got.link.name})

    def test_in_every_mode(self):
        for mode in ("bridge", "vepa", "private", "passthru", "source"):
            with self.subTest(mode=mode):
                got = self.granted(f"macvtap=v0,mode={mode}")
                self.assertEqual(got.link.data["mode"], mode)
                got.close()
                self.assertGone(got.link.name)

    def test_with_name_mac_and_mtu(self):
        got = self.granted("macvtap=v0,name=vm-1,mac=52:54:00:12:34:56,mtu=1400")
        self.assertEqual((got.link.name, got.link.mac, got.link.mtu), ("vm-1", "52:54:00:12:34:56", 1400))

    def test_a_percent_d_becomes_the_lowest_free_number(self):
        names = [self.granted("macvtap=v0,name=vm-%d").link.name for _ in range(3)]
        self.assertEqual(names, ["vm-0", "vm-1", "vm-2"])

    def test_down_where_a_migration_wants_it_so(self):
        got = self.granted("macvtap=v0,up=off")
        self.assertEqual((got.link.up, got.record["up"]), (False, False))

    def test_the_host_puts_no_address_on_it(self):
        got = self.granted("macvtap=v0")
        self.assertNotIn("inet", sandbox.ip("-o", "address", "show", "dev", got.link.name))

    def test_frames_cross_both_ways(self):
        self.assertTrue(frames.cross(self.granted("macvtap=v0,vnet_hdr=off"), "v1"))


class Passthru(MacvtapCase):

    def test_brings_the_parent_up_and_puts_its_mac_back(self):
        sandbox.ip("link", "set", "v0", "down")
        before = links.get("v0").mac
        got = self.granted("macvtap=v0,mode=passthru,mac=52:54:00:00:00:01")
        self.assertEqual((links.get("v0").up, links.get("v0").mac), (True, "52:54:00:00:00:01"))
        got.close()
        self.assertGone(got.link.name)
        self.assertEqual(links.get("v0").mac, before)

    def test_has_the_parents_mac_if_none_is_asked_for(self):
        got = self.granted("macvtap=v0,mode=passthru")
        self.assertEqual(got.link.mac, links.get("v0").mac)

    def test_wants_the_parent_for_itself(self):
        self.granted("macvtap=v0")
        self.refused("macvtap=v0,mode=passthru", says="passthru wants the parent for itself")


class Refused(MacvtapCase):

    def test_an_absent_parent_in_the_words_of_a_denied_one(self):
        self.box.policy("allow macvtap=v0", "allow macvtap=absent", "deny macvtap=v1")
        denied = self.refused("macvtap=v1", says="access denied by acl file").stderr
        absent = self.refused("macvtap=absent", says="access denied by acl file").stderr
        self.assertEqual(denied.replace("v1", "X"), absent.replace("absent", "X"))

    def test_a_name_that_exists(self):
        self.granted("macvtap=v0,name=vm-1")
        self.refused("macvtap=v0,name=vm-1", says="an interface of that name exists")

    def test_a_mac_that_the_parent_has_already(self):
        self.granted("macvtap=v0,mac=52:54:00:00:00:09")
        self.refused("macvtap=v0,mac=52:54:00:00:00:09", says="in use")

    def test_more_than_the_quota(self):
        self.box.policy("allow macvtap=v0 max=2")
        first = self.granted("macvtap=v0")
        self.granted("macvtap=v0")
        self.refused("macvtap=v0", says="as many as the rule allows at once (max=2)")
        first.close()
        self.assertGone(first.link.name)
        self.granted("macvtap=v0")

    def test_an_mtu_beyond_the_parents(self):
        self.refused("macvtap=v0,mtu=9000", says="create macvtap")

    def test_without_the_system_user(self):
        with open("/etc/passwd", encoding="ascii") as file:
            passwd = file.read()
        self.addCleanup(self.box.write, "/etc/passwd", passwd)
        self.box.write("/etc/passwd", "".join(line + "\n" for line in passwd.splitlines()
                                              if not line.startswith("tapferry:")))
        self.refused("macvtap=v0", says="useradd --system")
        self.box.policy("allow bridge=br0")
        self.granted("bridge=br0")

    def test_without_the_setuid_bit(self):
        self.helper = self.box.install_helper(name="capable", caps="cap_net_admin,cap_setpcap+ep")
        self.refused("macvtap=v0", says="isn't setuid root")


class Gone(MacvtapCase):

    def test_with_its_last_descriptor_however_many_there_were(self):
        got = self.granted("macvtap=v0,queues=3")
        copies = [os.dup(fd) for fd in got.fds]
        got.close()
        time.sleep(0.3)
        self.assertIsNotNone(links.get(got.link.name), "copies are still open")
        for copy in copies[:-1]:
            os.close(copy)
        time.sleep(0.3)
        self.assertIsNotNone(links.get(got.link.name), "one queue is still open")
        os.close(copies[-1])
        self.assertGone(got.link.name)

    def test_with_a_forked_holder(self):
        got = self.granted("macvtap=v0")
        holder = subprocess.Popen(["sleep", "30"], pass_fds=got.fds)
        got.close()
        time.sleep(0.3)
        self.assertIsNotNone(links.get(got.link.name))
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        self.assertGone(got.link.name)

    def test_with_one_that_is_in_flight_in_a_socket(self):
        got = self.granted("macvtap=v0")
        ours, theirs = socket.socketpair(socket.AF_UNIX)
        socket.send_fds(ours, [b"x"], got.fds)
        got.close()
        time.sleep(0.3)
        self.assertIsNotNone(links.get(got.link.name))
        ours.close()
        theirs.close()
        self.assertGone(got.link.name)

    def test_when_nobody_takes_it(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.close()
        proc = self.box.popen([self.helper, "--net=macvtap=v0", f"--fd={theirs.fileno()}"], pass_fds=[theirs.fileno()],
                              stderr=subprocess.DEVNULL)
        theirs.close()
        self.assertNotEqual(proc.wait(20), 0)
        self.assertEqual(links.of_kind("macvtap"), [], "gone before the helper is")


if __name__ == "__main__":
    unittest.main()
