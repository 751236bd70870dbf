# SPDX-License-Identifier: MIT
"""lock=on with guest_mac= on a bridge: the guest sends from that address only, shown with real frames, also against what
makes a bridge port's lock open."""
import json
import subprocess
import unittest

import frames
import links
import sandbox
from helper_case import HelperCase, need_helper as setUpModule  # noqa: F401

GUEST, OTHER, SPOOFED = "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:99"
LLDP_GROUP, STP_GROUP = "01:80:c2:00:00:0e", "01:80:c2:00:00:00"
LOCKED = f"bridge=br2,lock=on,guest_mac={GUEST}"
# An IEEE 802.1D configuration message, behind its LLC header: a bridge with priority 0 claims to be the root.
BPDU = bytes.fromhex("424203" "0000" "00" "00" "00" + "0000525400000001" + "00000000" + "0000525400000001" +
                     "8001" + "0000" + "1400" + "0200" + "0f00") + bytes(8)


class LockCase(HelperCase):
    """br2 with a guest locked to GUEST and another port that isn't locked."""

    def setUp(self):
        super().setUp()
        self.box.bridge("br2", "192.0.2.1/24")
        sandbox.ip("link", "set", "br2", "address", "52:54:00:00:00:fe")
        self.box.policy("allow bridge=br2 queues=2 guest_mac=52:54:00:*")

    def pair(self, spec=LOCKED):
        self.got = self.granted(spec)
        self.guest = frames.tap_end(self.got)
        self.other = frames.tap_end(self.granted("bridge=br2", user="bob"))

    def passes(self, src, dst=frames.BROADCAST, ethertype=frames.IPV4, tags=()):
        """Whether a frame of the guest with that source reaches the other port."""
        return frames.passes(self.guest, self.other, frames.make(dst, src, ethertype, tags=tags),
                             frames.make(frames.BROADCAST, GUEST, frames.ARP))

    def reaches_guest(self, dst):
        return frames.passes(self.other, self.guest, frames.make(dst, OTHER, frames.IPV4),
                             frames.make(frames.BROADCAST, OTHER, frames.ARP))

    def entries(self, mac):
        """What the forwarding database of br2 has for MAC."""
        done = subprocess.run(["bridge", "-j", "-d", "fdb", "show", "br", "br2"], capture_output=True, check=True)
        return [entry for entry in json.loads(done.stdout) if entry["mac"] == mac]


class Lock(LockCase):
    def test_the_guests_own_address_passes(self):
        self.pair()
        self.assertTrue(self.passes(GUEST))
        self.assertTrue(self.passes(GUEST, ethertype=frames.IPV6))
        self.assertTrue(self.reaches_guest(GUEST))

    def test_a_spoofed_source_does_not(self):
        self.pair()
        self.assertFalse(self.passes(SPOOFED))
        self.assertFalse(self.passes(OTHER))
        self.assertFalse(self.passes(links.get("br2").mac))
        self.assertFalse(self.passes(self.guest.mac), "the host's side of the tap")
        self.assertFalse(self.passes(SPOOFED, dst=OTHER), "unicast")
        self.assertFalse(self.passes(SPOOFED, ethertype=frames.ARP))

    def test_nor_a_source_that_no_station_can_have(self):
        self.pair()
        for source in (frames.BROADCAST, "01:00:5e:00:00:01", "53:54:00:00:00:01", "00:00:00:00:00:00"):
            self.assertFalse(self.passes(source), source)

    def test_nor_does_it_reach_the_host(self):
        self.pair()
        with frames.packet_end("br2") as host:
            spoofed = frames.make(host.mac, SPOOFED, frames.IPV4)
            self.assertFalse(frames.passes(self.guest, host, spoofed, frames.make(host.mac, GUEST, frames.IPV4)))

    def test_nor_after_an_lldp_frame_from_it(self):
        self.pair()
        for group in (LLDP_GROUP, "01:80:c2:00:00:03", "01:80:c2:00:00:02", STP_GROUP):
            self.guest.send(frames.make(group, SPOOFED, frames.LLDP))
            self.assertFalse(self.passes(SPOOFED), group)
        self.assertEqual(self.entries(SPOOFED), [])

    def test_nor_inside_a_vlan_tag(self):
        self.pair()
        for tags in ([(frames.VLAN, 0)], [(frames.VLAN, 5)], [(frames.QINQ, 5)], [(frames.QINQ, 5), (frames.VLAN, 6)]):
            self.assertFalse(self.passes(SPOOFED, tags=tags), tags)
            self.assertTrue(self.passes(GUEST, tags=tags), tags)

    def test_nor_on_a_second_queue(self):
        self.pair(LOCKED + ",queues=2")
        self.guest = frames.tap_end(self.got, queue=1)
        self.assertFalse(self.passes(SPOOFED))
        self.assertTrue(self.passes(GUEST))

    def test_nor_after_the_other_port_taught_the_bridge_that_source(self):
        self.pair()
        self.other.send(frames.make(frames.BROADCAST, SPOOFED, frames.IPV4))
        self.assertEqual(len(self.entries(SPOOFED)), 1)
        self.assertFalse(self.passes(SPOOFED))

    def test_another_port_that_claims_the_guests_address_gets_none_of_its_frames(self):
        self.pair()
        third = frames.tap_end(self.granted("bridge=br2", user="carol"))
        third.send(frames.make(frames.BROADCAST, GUEST, frames.ARP))
        self.assertTrue(self.reaches_guest(GUEST))
        seen = []
        while (got := third.receive()) is not None:
            seen.append(got)
        self.assertFalse([frame for frame in seen if frame.startswith(frames.mac_bytes(GUEST))])
        self.assertTrue(self.passes(GUEST), "and the guest's own still pass")

    def test_frames_to_a_group_that_bridges_keep_to_themselves_stay_there(self):
        self.pair()
        self.assertFalse(self.passes(GUEST, dst=LLDP_GROUP, ethertype=frames.LLDP))

    def test_a_spanning_tree_frame_takes_the_port_off(self):
        self.pair()
        sandbox.ip("link", "set", "br2", "type", "bridge", "forward_delay", "200")
        sandbox.ip("link", "set", "br2", "type", "bridge", "stp_state", "1")
        root = links.get("br2").data["root_id"]
        self.guest.send(frames.make(STP_GROUP, GUEST, 38, BPDU))
        state = sandbox.eventually(lambda: links.get(self.guest.name).port["state"] == "disabled")
        self.assertTrue(state, links.get(self.guest.name).port)
        self.assertEqual(links.get("br2").data["root_id"], root)

    def test_a_port_that_is_isolated_and_filtered_as_well(self):
        self.pair(LOCKED + ",isolated=on,filter=ipv4,arp,rate_to=100mbit")
        self.assertTrue(self.passes(GUEST))
        self.assertFalse(self.passes(SPOOFED))
        self.assertFalse(self.passes(GUEST, ethertype=frames.IPV6))

    def test_what_the_port_looks_like(self):
        self.pair()
        port = links.get(self.guest.name).port
        self.assertEqual((port["locked"], port["learning"], port["guard"]), (True, False, True), port)
        entries = self.entries(GUEST)
        self.assertTrue(entries)
        for entry in entries:  # one for each VLAN that the port is in, where the bridge knows VLANs
            self.assertEqual((entry["ifname"], entry["flags"], entry["state"]), (self.guest.name, ["sticky"], "static"))

    def test_everything_is_gone_with_the_interface(self):
        with self.granted(LOCKED) as got:
            name = got.link.name
        self.assertGone(name)
        self.assertEqual(self.entries(GUEST), [])
        self.granted(LOCKED)

    def test_without_lock_the_same_frames_pass(self):
        self.pair("bridge=br2")
        self.assertTrue(self.passes(SPOOFED))
        self.assertTrue(self.passes(SPOOFED, tags=[(frames.VLAN, 5)]))


class Vlans(LockCase):
    """A bridge that filters VLANs has an entry for each that the port is in."""

    def setUp(self):
        super().setUp()
        done = subprocess.run("ip link set br2 type bridge vlan_filtering 1".split(), capture_output=True, text=True,
                              check=False)
        if done.returncode:
            self.skipTest(f"kernel: {done.stderr.strip()}")

    def test_the_guest_sends_from_its_address_only(self):
        self.pair()
        self.assertTrue(self.passes(GUEST))
        self.assertFalse(self.passes(SPOOFED))

    def test_and_not_in_a_vlan_that_the_port_is_not_in(self):
        self.pair()
        self.assertFalse(self.passes(GUEST, tags=[(frames.VLAN, 5)]))


class Refused(LockCase):
    def test_the_bridges_own_address(self):
        self.refused("bridge=br2,lock=on,guest_mac=52:54:00:00:00:fe", says="address of br2 itself")

    def test_an_address_that_another_port_has(self):
        self.granted(LOCKED)
        self.refused(LOCKED, user="bob", says="another port of br2 has that address")

    def test_an_address_that_the_bridge_has_learned_elsewhere(self):
        other = frames.tap_end(self.granted("bridge=br2", user="bob"))
        other.send(frames.make(frames.BROADCAST, GUEST, frames.ARP))
        self.refused(LOCKED, says="another port of br2 has that address")

    def test_the_address_of_another_ports_interface(self):
        mac = self.granted("bridge=br2", user="bob").link.mac
        self.box.policy("allow bridge=br2 guest_mac=*")
        self.refused(f"bridge=br2,lock=on,guest_mac={mac}", says="another port of br2 has that address")

    def test_the_address_of_the_taps_own_host_side(self):
        self.box.policy("allow bridge=br2 guest_mac=* mac=*")
        self.refused(f"bridge=br2,mac={GUEST},lock=on,guest_mac={GUEST}", says="another port of br2 has that address")

    def test_a_multicast_address(self):
        self.refused("bridge=br2,lock=on,guest_mac=01:00:5e:00:00:01", says="unicast")

    def test_lock_without_an_address_and_an_address_without_lock(self):
        self.refused("bridge=br2,lock=on", says="guest_mac=")
        self.refused(f"bridge=br2,guest_mac={GUEST}", says="without lock=on")
        self.refused(f"bridge=br2,lock=off,guest_mac={GUEST}", says="without lock=on")

    def test_a_tap_on_no_bridge(self):
        self.box.policy("allow tap=vm-* user=alice")
        self.refused(f"tap=vm-1,lock=on,guest_mac={GUEST}", says="lock=")
        sandbox.ip("tuntap", "add", "dev", "vm-1", "mode", "tap", "user", str(self.box.users["alice"].uid))
        self.refused(f"tap=vm-1,lock=on,guest_mac={GUEST}", says="lock=")

    def test_an_address_that_the_rule_does_not_list(self):
        self.refused("bridge=br2,lock=on,guest_mac=52:55:00:00:00:01", says="access denied")


class Forced(LockCase):
    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br2 lock=on guest_mac=52:54:00:*", "allow bridge=br2 user=bob")

    def test_by_the_policy_it_applies_though_only_the_address_is_said(self):
        self.pair(f"bridge=br2,guest_mac={GUEST}")
        self.assertFalse(self.passes(SPOOFED))
        self.assertTrue(self.passes(GUEST))

    def test_by_the_policy_it_cannot_be_declined_or_left_without_an_address(self):
        for spec in ("bridge=br2", f"bridge=br2,lock=off,guest_mac={GUEST}"):
            self.refused(spec, says="access denied")


if __name__ == "__main__":
    unittest.main()
