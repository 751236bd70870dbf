# SPDX-License-Identifier: MIT
"""What one hand-over gives: the record, the descriptors, the interface, and that all of it goes again."""
import fcntl
import glob
import json
import os
import re
import socket
import unittest

import handover
import links
import sandbox
from helper_case import HelperCase, need_helper

RECORD_KEYS = ["version", "kind", "ifname", "ifindex", "upper", "queues", "vhost", "vnet_hdr", "vnet_hdr_sz",
               "mac", "mtu", "up", "rule"]
TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454d0, 0x400454d8  # linux/if_tun.h


def setUpModule():
    need_helper()


def running_programs():
    names = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as comm:
                names.add(comm.read().strip())
        except OSError:  # it ended meanwhile
            pass
    return names


class Record(HelperCase):
    """The JSON line of the --net form."""

    def setUp(self):
        super().setUp()
        self.box.policy("# the lab", "allow bridge=br0 queues=64 name=vm-* mtu=9000 mac=52:54:00:*")

    def test_is_one_message_of_one_line_with_the_fds_beside_it(self):
        got = self.granted("bridge=br0")
        self.assertEqual(len(got.messages), 1)
        self.assertEqual(got.messages[0][1], 1)
        self.assertRegex(got.data, rb"\A\{[^\n]*\}\n\Z")
        self.assertTrue(got.eof, "the helper has gone, and nobody holds its end")

    def test_keys_stand_in_the_documented_order(self):
        pairs = json.loads(self.granted("bridge=br0").data, object_pairs_hook=list)
        self.assertEqual([key for key, _value in pairs], RECORD_KEYS)

    def test_has_no_blanks(self):
        self.assertNotIn(b" ", self.granted("bridge=br0").data)

    def test_says_what_the_interface_is(self):
        got = self.granted("bridge=br0")
        link = got.link
        self.assertEqual(got.record, {
            "version": 1, "kind": "bridge", "ifname": link.name, "ifindex": link.index, "upper": "br0",
            "queues": 1, "vhost": 0, "vnet_hdr": True, "vnet_hdr_sz": 12, "mac": link.mac,
            "mtu": link.mtu, "up": link.up, "rule": "policy.conf:2"})
        self.assertEqual((link.master, link.up, link.mtu), ("br0", True, 1500))

    def test_names_the_included_file_of_the_rule(self):
        self.box.policy("include /etc/tapferry/policy.d/*.conf")
        self.box.policy_include("10-lab.conf", "", "allow bridge=br0")
        self.assertIn("10-lab.conf:2", self.granted("bridge=br0").record["rule"])

    def test_follows_the_keys_that_were_asked(self):
        got = self.granted("bridge=br0,name=vm-1,mtu=1400,mac=52:54:00:12:34:56,up=off,queues=3,vnet_hdr_sz=10")
        record = got.record
        asked = {"ifname": "vm-1", "mtu": 1400, "mac": "52:54:00:12:34:56", "up": False, "queues": 3,
                 "vnet_hdr_sz": 10}
        self.assertEqual({key: record[key] for key in asked}, asked)
        self.assertEqual((got.link.name, got.link.mtu, got.link.mac, got.link.up),
                         ("vm-1", 1400, "52:54:00:12:34:56", False))


class Descriptors(HelperCase):
    """What the received descriptors are."""

    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 queues=64")

    def test_one_tap_with_a_12_byte_header_that_does_not_block(self):
        got = self.granted("bridge=br0")
        self.assertEqual([(tap.flag_names, tap.header_size, tap.nonblocking) for tap in got.taps],
                         [(["no_pi", "tap", "vnet_hdr"], 12, True)])

    def test_qemu_form_blocks_and_has_a_10_byte_header(self):
        got = self.granted_br()
        self.assertEqual([(tap.flag_names, tap.header_size, tap.nonblocking) for tap in got.taps],
                         [(["no_pi", "tap", "vnet_hdr"], 10, False)])

    def test_queues_are_descriptors_of_one_interface(self):
        for queues in (2, 8, 64):
            with self.subTest(queues=queues):
                got = self.granted(f"bridge=br0,queues={queues}")
                self.assertEqual(len(got.taps), queues)
                self.assertEqual({tap.name for tap in got.taps}, {got.record["ifname"]})
                self.assertEqual({tuple(tap.flag_names) for tap in got.taps},
                                 {("multi_queue", "no_pi", "tap", "vnet_hdr")})
                self.assertEqual({(tap.header_size, tap.nonblocking) for tap in got.taps}, {(12, True)})
                self.assertEqual(got.record["queues"], queues)
                self.assertEqual(len(glob.glob(f"/sys/class/net/{got.link.name}/queues/tx-*")), queues)

    def test_vnet_hdr_off(self):
        got = self.granted("bridge=br0,vnet_hdr=off")
        self.assertEqual(got.taps[0].flag_names, ["no_pi", "tap"])
        self.assertFalse(got.record["vnet_hdr"])

    def test_the_holder_can_set_offloads_and_header_size_as_qemu_does(self):
        fd = self.granted_br().taps[0].fd
        fcntl.ioctl(fd, TUNSETOFFLOAD, 0x1 | 0x2 | 0x4)  # TUN_F_CSUM, TSO4, TSO6
        fcntl.ioctl(fd, TUNSETVNETHDRSZ, (12).to_bytes(4, "little"))
        self.assertEqual(handover.inspect(fd).header_size, 12)

    def test_frames_cross_from_one_tap_to_another(self):
        one, two = (self.granted("bridge=br0,vnet_hdr=off").taps[0].fd for _ in range(2))
        frame = b"\xff" * 6 + bytes.fromhex("525400000001") + b"\x88\xb5" + b"across".ljust(46, b".")
        os.write(one, frame)

        def arrived():
            try:
                return os.read(two, 65550) == frame
            except BlockingIOError:
                return False
        self.assertTrue(sandbox.eventually(arrived))

    def test_seqpacket_socket_serves_too(self):
        got = self.granted("bridge=br0", kind=socket.SOCK_SEQPACKET)
        self.assertEqual(got.record["upper"], "br0")


class Interface(HelperCase):
    """How the interface is made, and that it goes."""

    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 name=vm-*", "allow bridge=br1")

    def test_goes_with_its_last_descriptor(self):
        before = links.snapshot()
        got = self.granted("bridge=br0")
        spare = os.dup(got.fds[0])
        name = got.link.name
        got.close()
        self.assertIsNotNone(links.get(name), "one descriptor is still open")
        os.close(spare)
        self.assertGone(name)
        self.assertEqual(links.snapshot(), before)

    def test_belongs_to_the_caller_and_is_tagged(self):
        uid = self.box.users["bob"].uid
        got = self.granted("bridge=br0", user="bob")
        with open(f"/sys/class/net/{got.link.name}/owner", encoding="ascii") as owner:
            self.assertEqual(int(owner.read()), uid)
        self.assertRegex(got.link.alias, rf"\Atapferry uid={uid} kind=bridge\b")

    def test_default_name_is_tap_and_a_number_that_is_not_soon_used_again(self):
        names = [self.granted("bridge=br0").link.name for _ in range(3)]
        self.assertEqual(len(set(names)), 3)
        first = self.granted("bridge=br0")
        gone = first.link.name
        first.close()
        names.append(self.granted("bridge=br0").link.name)
        self.assertNotIn(gone, names)
        for name in names:
            self.assertRegex(name, r"\Atap\d+\Z")

    def test_mac_begins_with_fe_so_that_the_bridge_does_not_take_it(self):
        self.box.veth("veth0", "veth1", master="br0")
        sandbox.ip("link", "set", "veth0", "address", "02:00:00:00:00:01")
        macs = {self.granted("bridge=br0").link.mac for _ in range(4)}
        self.assertEqual(len(macs), 4)
        self.assertEqual({mac[:2] for mac in macs}, {"fe"})
        self.assertEqual(links.get("br0").mac, links.get("veth0").mac, "the lowest of its ports'")

    def test_mtu_is_the_bridges(self):
        for mtu in (1280, 9000):
            sandbox.ip("link", "set", "br1", "mtu", str(mtu))
            self.assertEqual(self.granted("bridge=br1").link.mtu, mtu)
            self.assertEqual(self.granted_br("br1").link.mtu, mtu)

    def test_name_pattern_is_filled_in_by_the_kernel(self):
        self.assertEqual(self.granted("bridge=br0,name=vm-%d").link.name, "vm-0")
        self.assertEqual(self.granted("bridge=br0,name=vm-%d").link.name, "vm-1")

    def test_name_that_is_taken_is_refused(self):
        self.granted("bridge=br0,name=vm-a")
        self.refused("bridge=br0,name=vm-a")

    def test_host_side_of_a_port_takes_no_ipv6_from_the_guest(self):
        got = self.granted("bridge=br0")
        self.assertEqual(got.link.raw.get("inet6_addr_gen_mode"), "none")
        path = f"/proc/sys/net/ipv6/conf/{got.link.name}/accept_ra"
        with open(path, encoding="ascii") as accept_ra:
            self.assertEqual(accept_ra.read().strip(), "0")
        addresses = json.loads(sandbox.ip("-j", "addr", "show", "dev", got.link.name))[0]["addr_info"]
        self.assertEqual(addresses, [])

    def test_isolated_ports(self):
        self.assertTrue(self.granted("bridge=br0,isolated=on").link.port["isolated"])
        self.assertFalse(self.granted("bridge=br0").link.port["isolated"])
        self.box.policy("allow bridge=br0 isolated=on")
        self.assertTrue(self.granted("bridge=br0").link.port["isolated"], "forced by the rule")
        self.refused("bridge=br0,isolated=off")

    def test_up_off_leaves_it_down(self):
        got = self.granted("bridge=br0,up=off")
        self.assertEqual((got.link.up, got.link.master), (False, "br0"))

    def test_a_hundred_held_at_once(self):
        self.box.policy("allow bridge=br0 max=100")
        held = [self.granted("bridge=br0", look=False) for _ in range(100)]
        self.assertEqual(len({got.taps[0].name for got in held}), 100)
        self.refused("bridge=br0")
        held[50].close()
        self.granted("bridge=br0", look=False)


class Refusals(HelperCase):
    """Each refusal: one line, not one byte, nothing left."""

    def test_requests_that_no_rule_allows(self):
        self.box.policy("allow bridge=br0 user=alice")
        for spec in ("bridge=br1", "tap", "tap=x", "bridge=br0,queues=2", "bridge=br0,name=x",
                     "bridge=br0,mac=52:54:00:00:00:01", "bridge=br0,mtu=1400", "bridge=br0,persist=on",
                     "bridge=br0,vhost=on"):
            with self.subTest(spec=spec):
                self.refused(spec)

    def test_requests_that_are_none(self):
        self.box.policy("allow bridge=* queues=8", "allow tap=*")
        for spec in ("", "=", ",", "bridge", "bridge=", "br=br0", "bridge=br0,", "bridge=br0,,up=on",
                     "bridge=br0,up", "bridge=br0,up=", "bridge=br0,up=yes", "bridge=br0,queues=0",
                     "bridge=br0,queues=65", "bridge=br0,queues=-1", "bridge=br0,queues=1x",
                     "bridge=br0,queues=2,queues=2", "bridge=br0,colour=red", "bridge=br0,vnet_hdr_sz=11",
                     "bridge=br0,mac=nonsense", "bridge=br0,mac=01:00:00:00:00:01", "bridge=br0,mtu=0",
                     "bridge=br0,mtu=99999999999", "bridge=br0,name=a/b", "bridge=br0,name=..",
                     "bridge=br0,name=%d%d", "bridge=br0,name=%s", "bridge=br0,name=" + "n" * 16,
                     "tap=t0,name=t1", "bridge=" + "b" * 16, "bridge=br0" + ",up=on" * 200, "bridge=br0\n"):
            with self.subTest(spec=spec[:60]):
                self.refused(spec)

    def test_devices_that_are_no_bridge(self):
        self.box.policy("allow bridge=*")
        self.box.veth("veth0", "veth1")
        for name in ("veth0", "lo"):
            self.refused(f"bridge={name}")

    def test_both_forms_at_once(self):
        self.box.policy("allow br0")
        before = links.snapshot()
        got = handover.ask(self.box, self.helper, ["--net=bridge=br0", "--br=br0", "--fd={fd}"])
        self.assertEqual((got.status != 0, got.data, got.fds), (True, b"", []))
        self.assertEqual(links.snapshot(), before)


class Calls(HelperCase):
    """--version, --help and how the program ends."""

    def test_version_and_help_need_no_policy_and_no_socket(self):
        for option, pattern in (("--version", r"\Atapferry-helper \d+\.\d+"), ("--help", r"--net=SPEC")):
            done = self.box.run([self.helper, option])
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertTrue(re.search(pattern, done.stdout), done.stdout)

    def test_nothing_runs_on_after_the_hand_over(self):
        self.box.policy("allow br0")
        self.granted("bridge=br0")
        self.assertTrue(sandbox.eventually(lambda: "tapferry-helper" not in running_programs()))


if __name__ == "__main__":
    unittest.main()
