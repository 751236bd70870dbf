# SPDX-License-Identifier: MIT
"""device=WHICH: a macvtap that exists, by path, name or index: found, opened, set up, and left as it was."""
import json
import os
import socket
import subprocess
import time
import unittest

import frames
import links
import processes
import sandbox
from command_case import need_command as setUpModule  # noqa: F401
from device_case import INDEX, NODE, WAYS, DeviceCase, in_namespace, mac_behind, own_sysfs
from sandbox import ip


class Found(DeviceCase):

    def test_by_path_by_name_by_index_and_by_tap_and_index(self):
        for way in WAYS:
            with self.subTest(way=way):
                got = self.granted(f"device={way}")
                self.assertEqual((got.record["kind"], got.record["ifname"], got.record["ifindex"], got.record["upper"]),
                                 ("device", "mv0", INDEX, "v0"))
                self.assertEqual((got.record["mac"], got.record["mtu"]), (links.get("mv0").mac, 1500))
                self.assertEqual([tap.name for tap in got.taps], ["mv0"])
                self.assertEqual(mac_behind(got.fds[0]), links.get("mv0").mac)

    def test_by_a_path_anywhere(self):
        self.folder("/dev/vm")
        self.node("/dev/vm/net", "mv0")
        self.assertEqual(self.granted("device=/dev/vm/net").link.name, "mv0")

    def test_where_no_node_exists(self):
        os.rename(NODE, "/dev/elsewhere")
        self.addCleanup(os.rename, "/dev/elsewhere", NODE)
        self.granted("device=mv0")
        self.granted(f"device=tap{INDEX}")

    def test_an_ipvtap_too(self):
        made = subprocess.run(["ip", "link", "add", "link", "v1", "name", "iv0", "type", "ipvtap"], capture_output=True,
                              text=True, check=False)
        if made.returncode != 0:
            self.skipTest("kernel: no ipvtap")
        self.addCleanup(ip, "link", "delete", "iv0")
        self.box.policy("allow device=iv0")
        self.node("/dev/ipvtap", "iv0")
        for way in ("iv0", "/dev/ipvtap"):
            got = self.granted(f"device={way},up=off")
            self.assertEqual([tap.name for tap in got.taps], ["iv0"])
            got.close()


class OtherNamespace(DeviceCase):
    """Another network namespace has a macvtap of the same name and the same index, with a node of its own."""

    def setUp(self):
        super().setUp()
        ip("netns", "add", "other")
        self.addCleanup(ip, "netns", "delete", "other")
        with in_namespace("other"):
            self.box.veth("v0", "v1")
            self.macvtap("mv0", INDEX)
            self.mac = links.get("mv0").mac
            with own_sysfs():
                self.node("/dev/others", "mv0")
        self.box.policy("allow device=*")

    def test_has_its_own_device_and_never_this_one(self):
        for way in ("mv0", NODE):
            self.assertEqual(mac_behind(self.granted(f"device={way}").fds[0]), links.get("mv0").mac)
        self.refused_as_absent("/dev/others")

    def test_gets_its_own_device_and_never_ours(self):
        with in_namespace("other"), own_sysfs():
            for way in ("mv0", f"tap{INDEX}", "/dev/others"):
                self.assertEqual(mac_behind(self.granted(f"device={way}").fds[0]), self.mac)
            self.refused_as_absent(NODE)

    def test_with_colliding_nodes_the_number_tells_not_the_name(self):
        os.rename(NODE, "/dev/ours")
        os.rename("/dev/others", NODE)
        self.addCleanup(os.rename, "/dev/ours", NODE)
        self.addCleanup(os.rename, NODE, "/dev/others")
        self.refused_as_absent(NODE)
        self.assertEqual(mac_behind(self.granted("device=/dev/ours").fds[0]), links.get("mv0").mac)
        self.assertEqual(mac_behind(self.granted(f"device=tap{INDEX}").fds[0]), links.get("mv0").mac)
        with in_namespace("other"), own_sysfs():
            self.assertEqual(mac_behind(self.granted(f"device={NODE}").fds[0]), self.mac)

    def test_whose_sys_shows_this_one_is_told_so(self):
        with in_namespace("other"):
            for way in ("mv0", "/dev/others", "nothing"):
                self.refused(f"device={way}", says="look for devices in /sys: it shows another network namespace; "
                                                   "`mount -t sysfs sysfs /sys' in this one")

    def test_a_bare_sys_is_told_as_well(self):
        sandbox.mount("tmpfs", "/sys", "tmpfs")
        self.addCleanup(sandbox.umount, "/sys")
        self.refused("device=mv0", says="look for devices in /sys: ")


class HandedOver(DeviceCase):

    def test_up_on_brings_it_up_and_up_off_leaves_it(self):
        got = self.granted("device=mv0,up=off")
        self.assertEqual((got.link.up, got.record["up"]), (False, False))
        got = self.granted("device=mv0")
        self.assertEqual((got.link.up, got.record["up"]), (True, True))
        got = self.granted("device=mv0,up=off")
        self.assertEqual((got.link.up, got.record["up"]), (True, True))

    def test_with_and_without_a_vnet_header(self):
        got = self.granted("device=mv0,vnet_hdr=off")
        self.assertEqual((got.taps[0].flag_names, got.record["vnet_hdr_sz"]), (["no_pi", "tap"], 0))
        for size in (10, 12):
            tap = self.granted(f"device=mv0,vnet_hdr_sz={size}").taps[0]
            self.assertEqual(tap.flag_names, ["no_pi", "tap", "vnet_hdr"])
            self.assertEqual((tap.header_size, tap.nonblocking), (size, True))

    def test_with_as_many_queues_as_are_asked_for(self):
        got = self.granted("device=mv0,queues=4")
        self.assertEqual([tap.flag_names for tap in got.taps], [["multi_queue", "no_pi", "tap", "vnet_hdr"]] * 4)
        self.refused("device=mv0,queues=65")

    def test_until_it_has_no_room_for_more(self):
        held = []
        for _ in range(16):  # MAX_TAP_QUEUES is 256 (include/linux/if_tap.h); it was 16 once
            got = self.ask("device=mv0,queues=64", look=False)
            if got.status != 0:
                break
            held.append(got)
        self.assertIn("open a queue of mv0: it has as many queues as it can have", got.stderr)
        self.assertEqual((got.taps, len(held)), ([], 4))
        held[0].close()
        self.granted("device=mv0,queues=64")

    def test_it_stays_when_its_descriptors_are_closed(self):
        before = links.snapshot()
        got = self.granted("device=mv0,queues=3")
        self.assertTrue(sandbox.eventually(lambda: not processes.named("tapferry-")), "nobody needs to watch over it")
        got.close()
        time.sleep(0.3)
        self.assertEqual(links.snapshot(), before)

    def test_frames_cross_both_ways(self):
        self.assertTrue(frames.cross(self.granted("device=mv0,vnet_hdr=off"), "v1"))

    def test_rate_and_filter_are_put_on_it_until_the_next_hand_over(self):
        got = self.granted("device=mv0,rate_from=10mbit,filter=ipv4,arp")
        self.assertIn("rate 10Mbit", "\n".join(self.traffic_rules()))
        self.assertIn("bpf", "\n".join(self.traffic_rules()))
        got.close()
        self.granted("device=mv0")
        self.assertEqual(self.traffic_rules(), [])

    def test_a_rate_towards_the_guest_where_the_kernel_has_that(self):
        got = self.ask("device=mv0,rate_to=10mbit")
        if "this kernel has no act_police" in got.stderr:
            self.skipTest("kernel: no act_police")
        self.assertEqual((got.status, got.stderr), (0, ""))
        self.assertIn("bpf", "\n".join(self.traffic_rules()))

    def test_that_fails_leaves_it_as_it_was(self):
        before = self.state
        for keys in ("", ",rate_from=10mbit,filter=ipv4"):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            ours.close()
            with theirs:
                done = self.box.run([self.helper, f"--net=device=mv0{keys}", f"--fd={theirs.fileno()}"],
                                    pass_fds=[theirs.fileno()])
            self.assertEqual(done.returncode, 1)
            self.assertIn("failed to write fd to unix socket", done.stderr)
            self.assertIn("result=granted", self.box.syslog.lines(1)[0].text, "it came as far as that")
            self.assertEqual(self.state, before)
            self.box.syslog.clear()

    def test_that_cannot_come_up_is_left_as_it_was(self):
        ip("link", "set", "mv0", "up")
        self.macvtap("mv1", INDEX + 1, "address", links.get("mv0").mac)
        self.box.policy("allow device=mv1")
        self.refused("device=mv1,rate_from=10mbit,filter=ipv4", says="bring up mv1")
        self.assertEqual((links.get("mv1").up, self.traffic_rules("mv1")), (False, []))


class Tools(DeviceCase):

    def test_probe_finds_all_right(self):
        for way in WAYS:
            for keys in ("", ",queues=2", ",vnet_hdr=off", ",up=off"):
                with self.subTest(way=way, keys=keys):
                    done = self.tapferry("probe", "--json", f"--net=device={way}{keys}")
                    self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        facts = json.loads(done.stdout)
        self.assertEqual((facts["interface"]["type"], facts["interface"]["parent"]), ("macvtap", "v0"))
        self.assertEqual((facts["fds"][0]["kind"], facts["fds"][0]["ifname"]), ("macvtap queue", "mv0"))

    def test_run_gives_the_guest_its_mac(self):
        done = self.succeeds("run", "--net=device=mv0", "--", "echo", "{mac} {ifname} {fds}")
        self.assertEqual(done.stdout, f"{links.get('mv0').mac} mv0 3\n")

    def test_is_written_down(self):
        self.granted(f"device={NODE}")
        line = self.box.syslog.lines(1)[0].text
        self.assertIn(f'request="device={NODE}" result=granted interface="mv0" ifindex={INDEX}', line)

    def test_explain_tells_the_rule_however_it_is_asked_for(self):
        self.box.policy("allow device=other", f"allow device={INDEX}", "deny device=mv0 user=bob")
        for way in WAYS:
            with self.subTest(way=way):
                text = self.succeeds("explain", f"--net=device={way}").stdout
                self.assertIn(f"allowed: device={way} for alice", text)
                self.assertIn("by policy.conf:2", text.splitlines()[0])
                done = self.tapferry("explain", f"--net=device={way}", user="bob")
                self.assertEqual((done.returncode, done.stderr), (1, ""))
                self.assertIn("by policy.conf:3", done.stdout.splitlines()[0])

    def test_explain_of_an_absent_one_goes_by_what_was_asked(self):
        self.box.policy("allow device=mv7")
        self.assertIn("by policy.conf:1", self.succeeds("explain", "--net=device=mv7").stdout)
        self.assertEqual(self.tapferry("explain", "--net=device=mv8").returncode, 1)


if __name__ == "__main__":
    unittest.main()
