# SPDX-License-Identifier: MIT
"""device=WHICH: which macvtap is meant, whether a rule is about it, and what is refused."""
import os
import socket
import stat
import unittest

import links
import sandbox
from command_case import need_command as setUpModule  # noqa: F401
from device_case import INDEX, NODE, WAYS, DeviceCase
from sandbox import ip


class Resolved(DeviceCase):
    """Which one is meant where there could be two answers."""

    def test_whatever_the_nodes_mode_is(self):
        for mode in (0o000, 0o600, 0o666):
            os.chmod(NODE, mode)
            self.granted(f"device={NODE}")
        self.box.policy("allow device=other")
        self.refused_as_absent(NODE)

    def test_an_interface_of_that_name_comes_before_an_index(self):
        self.macvtap(f"tap{INDEX}", INDEX + 1)
        self.box.policy("allow device=*")
        self.assertEqual(self.granted(f"device=tap{INDEX}").record["ifindex"], INDEX + 1)
        ip("link", "delete", f"tap{INDEX}")
        ip("tuntap", "add", "dev", f"tap{INDEX}", "mode", "tap")
        self.refused(f"device=tap{INDEX}", says=f"it is a tap; ask for tap=tap{INDEX}")

    def test_digits_are_an_index_whatever_interfaces_are_called(self):
        self.macvtap(str(INDEX), INDEX + 1)
        self.box.policy(f"allow device={INDEX}")
        self.assertEqual(self.granted(f"device={INDEX}").record["ifname"], "mv0")
        self.refused_as_absent(str(INDEX + 1))

    def test_an_altname_is_no_name(self):
        ip("link", "property", "add", "dev", "mv0", "altname", "other")
        self.box.policy("allow device=*")
        self.refused_as_absent("other")


class Rules(DeviceCase):
    """A rule is for the device, in whichever way it and the request name it."""

    def setUp(self):
        super().setUp()
        self.macvtap("mv1", INDEX + 1)
        self.node(f"/dev/tap{INDEX + 1}", "mv1")
        self.others = (f"/dev/tap{INDEX + 1}", "mv1", str(INDEX + 1), f"tap{INDEX + 1}")

    def test_an_allow_hits_every_way_of_asking_and_no_other_device(self):
        for rule in WAYS:
            self.box.policy(f"allow device={rule}")
            for asked in WAYS:
                with self.subTest(rule=rule, asked=asked):
                    self.assertEqual(self.granted(f"device={asked}").record["ifname"], "mv0")
            self.refused_as_absent(self.others[WAYS.index(rule)])

    def test_a_deny_hits_every_way_of_asking_and_no_other_device(self):
        self.folder("/dev/vm")
        self.node("/dev/vm/net", "mv0")
        for rule in WAYS:
            self.box.policy("allow device=*", f"deny device={rule}")
            for asked in (*WAYS, "/dev/vm/net"):
                with self.subTest(rule=rule, asked=asked):
                    self.refused_as_absent(asked)
            self.granted(f"device={self.others[WAYS.index(rule)]}")

    def test_they_take_patterns(self):
        self.box.policy("allow device=mv*")
        self.granted(f"device={NODE}")
        self.box.policy("allow device=/dev/tap7*")
        self.granted("device=mv0")

    def test_those_of_other_kinds_are_not_for_it(self):
        self.box.policy("allow macvtap=mv0", "allow tap=*", "allow all", "allow macvtap=v0")
        self.refused_as_absent("mv0")

    def test_a_pattern_for_one_folder_is_not_for_another(self):
        self.folder("/dev/vm")
        self.box.policy("allow device=/dev/vm/*")
        for path in (f"/dev/vm/../tap{INDEX}", f"/dev/vm//../tap{INDEX}", f"/dev/vm/./../tap{INDEX}"):
            self.refused_as_absent(path)

    def test_a_path_that_changes_meanwhile_does_not_get_another_device(self):
        """Alice's link leads to mv0 and to mv1 by turns, and a deny keeps her from mv1."""
        home = self.box.users["alice"].home
        for name in ("mv0", "mv1"):
            self.folder(f"/dev/{name}")
            self.node(f"/dev/{name}/net", name)
        self.box.policy("allow device=*", "deny device=mv1")
        flips = (f"import os, time\nend = time.monotonic() + 60\nos.chdir('{home}')\n"
                 "while time.monotonic() < end:\n"
                 "    for name in 'mv0', 'mv1':\n"
                 "        os.symlink('/dev/' + name, 'fresh'); os.rename('fresh', 'vm'); time.sleep(0.0003)\n")
        with self.box.popen(["/usr/bin/python3", "-c", flips]) as flipper:
            try:
                self.assertTrue(sandbox.eventually(lambda: os.path.islink(f"{home}/vm"), 20))
                granted = []
                for _ in range(40):
                    got = self.ask(f"device={home}/vm/net", look=False)
                    granted += [tap.name for tap in got.taps]
                    got.close()
            finally:
                flipper.kill()
        self.assertEqual(set(granted), {"mv0"}, "it was never granted, or mv1 was")


class Refused(DeviceCase):
    """What is no macvtap of this network namespace; the policy allows to ask for anything."""

    def setUp(self):
        super().setUp()
        self.box.policy("allow device=*")

    def test_paths_that_are_no_character_device_by_what_they_are(self):
        self.folder("/dev/vm")
        with open("/dev/vm/file", "wb"):
            pass
        os.mkdir("/dev/vm/folder")
        os.mkfifo("/dev/vm/fifo")
        os.symlink(NODE, "/dev/vm/link")
        os.mknod("/dev/vm/disk", stat.S_IFBLK | 0o666, os.makedev(7, 0))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("/dev/vm/socket")
            for name, what in (("file", "a regular file"), ("folder", "a directory"), ("fifo", "a fifo"),
                               ("link", "a symbolic link, and those are not followed"), ("socket", "a socket"),
                               ("disk", "a block device")):
                with self.subTest(name=name):
                    self.refused(f"device=/dev/vm/{name}", says=f"it is {what}, not the character device of a macvtap")

    def test_character_devices_of_others_by_their_number(self):
        self.refused("device=/dev/null", says="it is character device 1:3, not the character device of a macvtap")

    def test_what_makes_taps_with_a_hint(self):
        self.refused("device=/dev/net/tun", says="it makes taps, and is none itself; ask for tap")

    def test_interfaces_of_other_kinds_by_their_kind(self):
        ip("tuntap", "add", "dev", "vm-1", "mode", "tap")
        for name, says in (("vm-1", "it is a tap; ask for tap=vm-1"), ("br0", "it is of kind bridge, no macvtap"),
                           ("v0", "it is of kind veth, no macvtap"), ("lo", "it is hardware, or the loopback")):
            for which in (name, str(links.get(name).index)):
                with self.subTest(which=which):
                    self.refused(f"device={which}", says=says)

    def test_absent_ones_in_the_words_of_denied_ones(self):
        absent = {self.refused_as_absent(which) for which in
                  (f"/dev/tap{INDEX + 1}", "/dev/tap/7", f"{NODE}/7", "mv7", str(INDEX + 1), f"tap{INDEX + 1}")}
        self.box.policy("allow device=*", "deny device=mv0")
        absent |= {self.refused_as_absent(which) for which in WAYS}
        self.box.policy("allow device=other")
        absent |= {self.refused_as_absent(which) for which in WAYS}
        self.assertEqual(len(absent), 1, absent)

    def test_a_path_that_the_caller_cannot_reach_as_if_it_were_absent(self):
        self.folder("/dev/secret", mode=0o700)
        self.node("/dev/secret/net", "mv0", mode=0o666)
        os.mkfifo("/dev/secret/fifo")
        unreachable = {self.refused_as_absent(f"/dev/secret/{name}") for name in ("net", "fifo", "nothing")}
        self.assertEqual(unreachable, {self.refused_as_absent("/dev/nothing")})
        self.granted("device=/dev/secret/net", user="root")

    def test_relative_paths(self):
        for which in (f"./tap{INDEX}", f"dev/tap{INDEX}", f"../dev/tap{INDEX}", "tap/7"):
            with self.subTest(which=which):
                self.refused(f"device={which}", says="device= takes an absolute path", cwd="/dev")

    def test_hostile_words(self):
        for which in ("", "/", "//", ".", "..", "0", "-1", "4294967297", "99999999999999999999", "tap", "tap-1",
                      "mv0\n", "mv0 ", "a" * 16, "/" + "a" * 300, "/" + "a/" * 400, "%d", "mv%s", "/dev/tap\n7", "*"):
            with self.subTest(which=which):
                self.refused(f"device={which}")


    def test_keys_for_new_interfaces(self):
        self.box.policy("allow device=mv0 mac=* mtu=9000 guest_mac=* lock=on", "allow device=mv0 mac=* mtu=9000")
        for keys, says in (("mac=52:54:00:00:00:01", "mac= and mtu= are for new ones"),
                           ("mtu=1400", "mac= and mtu= are for new ones"),
                           ("filter=auto", "filter=auto is for new ones"),
                           ("lock=on,guest_mac=52:54:00:00:00:01", "lock=on is for new ones")):
            with self.subTest(keys=keys):
                before = self.state
                self.refused(f"device=mv0,{keys}", says=f"open device mv0: it exists, and {says}")
                self.assertEqual(self.state, before)
        for keys in ("name=mv7", "mode=private", "isolated=on"):
            self.refused(f"device=mv0,{keys}")

    def test_without_the_setuid_bit(self):
        self.helper = self.box.install_helper(name="capable", caps="cap_net_admin,cap_setpcap+ep")
        self.refused("device=mv0", says="isn't setuid root")


if __name__ == "__main__":
    unittest.main()
