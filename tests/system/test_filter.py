# SPDX-License-Identifier: MIT
"""filter=: which EtherTypes cross a tap, shown with real frames both ways, and that its holder can't change that."""
import json
import struct
import subprocess
import unittest

import frames
import handover
import holder
import links
import sandbox
from helper_case import HelperCase, need_helper as setUpModule  # noqa: F401

GUEST, PEER = "52:54:00:00:00:01", "52:54:00:00:00:02"
OURS = "handle 0x7a9e"
EBPF_NONE = struct.pack("i", -1)


def tc(*words):
    return subprocess.run(["tc", *words], capture_output=True, text=True, check=True).stdout


class FilterCase(HelperCase):
    """A guest with the filter that the test asks for, and a peer without any on the same bridge."""

    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 queues=2", "allow tap=vm-* user=alice")

    def pair(self, spec):
        self.got = self.granted(spec)
        self.guest = frames.tap_end(self.got)
        self.peer = frames.tap_end(self.granted("bridge=br0"))

    def crosses(self, ethertype, tags=(), always=frames.IPV4):
        """(from the guest, towards the guest) whether such a frame does; ALWAYS is an EtherType that does."""
        def one(sender, receiver, src):
            return frames.passes(sender, receiver, frames.make(frames.BROADCAST, src, ethertype, tags=tags),
                                 frames.make(frames.BROADCAST, src, always))
        return one(self.guest, self.peer, GUEST), one(self.peer, self.guest, PEER)


BOTH, NEITHER = (True, True), (False, False)


class What(FilterCase):
    def test_only_the_listed_ethertypes_cross_both_ways(self):
        self.pair("bridge=br0,filter=ipv4,arp")
        self.assertEqual(self.crosses(frames.IPV4), BOTH)
        self.assertEqual(self.crosses(frames.ARP), BOTH)
        for ethertype in (frames.IPV6, frames.RARP, frames.LLDP, 0x0600, 0xffff):
            self.assertEqual(self.crosses(ethertype), NEITHER, hex(ethertype))

    def test_without_a_filter_everything_does(self):
        self.pair("bridge=br0")
        for ethertype in (frames.IPV6, frames.RARP, 0x0600, 0xffff):
            self.assertEqual(self.crosses(ethertype), BOTH, hex(ethertype))

    def test_llc_frames_never_cross(self):
        self.pair("bridge=br0,filter=ipv4,arp,ipv6,vlan,rarp")
        for length in (0, 38, 0x05dc, 0x05ff):
            self.assertEqual(self.crosses(length), NEITHER, length)

    def test_a_tagged_frame_is_vlan_whatever_it_carries(self):
        self.pair("bridge=br0,filter=ipv4")
        self.assertEqual(self.crosses(frames.IPV4, tags=[(frames.VLAN, 5)]), NEITHER)
        self.assertEqual(self.crosses(frames.IPV4, tags=[(frames.VLAN, 0)]), NEITHER, "a priority tag")
        self.assertEqual(self.crosses(frames.IPV4, tags=[(frames.QINQ, 5)]), NEITHER)

    def test_vlan_lets_tagged_frames_cross_and_says_nothing_of_others(self):
        self.pair("bridge=br0,filter=vlan,arp")
        self.assertEqual(self.crosses(frames.IPV6, tags=[(frames.VLAN, 5)], always=frames.ARP), BOTH)
        self.assertEqual(self.crosses(frames.IPV6, always=frames.ARP), NEITHER)
        self.assertEqual(self.crosses(frames.IPV6, tags=[(frames.QINQ, 5)], always=frames.ARP), NEITHER)

    def test_with_two_tags_the_outer_one_counts(self):
        self.pair("bridge=br0,filter=0x88a8,arp")
        self.assertEqual(self.crosses(frames.IPV4, [(frames.QINQ, 5), (frames.VLAN, 6)], frames.ARP), BOTH)
        self.assertEqual(self.crosses(frames.IPV4, [(frames.VLAN, 5), (frames.QINQ, 6)], frames.ARP), NEITHER)

    def test_a_list_as_long_as_a_request_can_be(self):
        many = [f"0x{0x9000 + i:04x}" for i in range(140)]
        self.pair("bridge=br0,filter=ipv4," + ",".join(many))
        self.assertEqual(self.crosses(0x9000), BOTH)
        self.assertEqual(self.crosses(0x9000 + 139), BOTH)
        self.assertEqual(self.crosses(0x9000 + 140), NEITHER)

    def test_the_host_itself_is_filtered_too(self):
        self.box.bridge("br2", "192.0.2.1/24")
        self.box.policy("allow bridge=br2")
        guest = frames.tap_end(self.granted("bridge=br2,filter=arp"))
        with frames.packet_end("br2") as host:
            always = frames.make(frames.BROADCAST, GUEST, frames.ARP)
            self.assertFalse(frames.passes(guest, host, frames.make(frames.BROADCAST, GUEST, frames.IPV6), always))
            always = frames.make(frames.BROADCAST, host.mac, frames.ARP)
            self.assertFalse(frames.passes(host, guest, frames.make(frames.BROADCAST, host.mac, frames.IPV4), always))

    def test_every_queue(self):
        self.pair("bridge=br0,queues=2,filter=ipv4")
        self.guest = frames.tap_end(self.got, queue=1)
        from_guest, _ = self.crosses_from(frames.IPV6), self.crosses_from(frames.IPV4)
        self.assertFalse(from_guest)

    def crosses_from(self, ethertype):
        return frames.passes(self.guest, self.peer, frames.make(frames.BROADCAST, GUEST, ethertype),
                             frames.make(frames.BROADCAST, GUEST, frames.IPV4))


class Policy(FilterCase):
    def test_a_forced_filter_applies_though_nobody_asked(self):
        self.box.policy("allow bridge=br0 filter=ipv4,arp", "allow bridge=br0 user=bob")
        self.guest = frames.tap_end(self.granted("bridge=br0"))
        self.box.policy("allow bridge=br0")
        self.peer = frames.tap_end(self.granted("bridge=br0"))
        self.assertEqual(self.crosses(frames.ARP), BOTH)
        self.assertEqual(self.crosses(frames.IPV6), NEITHER)

    def test_a_forced_filter_applies_to_qemus_form(self):
        self.box.policy("allow bridge=br0 filter=ipv4,arp")
        self.guest = frames.tap_end(self.granted_br())
        self.box.policy("allow bridge=br0")
        self.peer = frames.tap_end(self.granted("bridge=br0"))
        self.assertEqual(self.crosses(frames.ARP), BOTH)
        self.assertEqual(self.crosses(frames.IPV6), NEITHER)

    def test_a_part_of_the_forced_list_can_be_asked_for(self):
        self.box.policy("allow bridge=br0 filter=ipv4,arp,ipv6")
        self.guest = frames.tap_end(self.granted("bridge=br0,filter=ipv4"))
        self.box.policy("allow bridge=br0")
        self.peer = frames.tap_end(self.granted("bridge=br0"))
        self.assertEqual(self.crosses(frames.ARP), NEITHER)

    def test_more_than_the_forced_list_is_refused(self):
        self.box.policy("allow bridge=br0 filter=ipv4,arp")
        self.refused("bridge=br0,filter=ipv4,ipv6", says="access denied")

    def test_a_list_as_long_as_a_rule_can_be(self):
        many = ",".join(f"0x{0x9000 + i:04x}" for i in range(560))
        self.box.policy(f"allow bridge=br0 filter=ipv4,{many}")
        self.guest = frames.tap_end(self.granted("bridge=br0"))
        self.box.policy("allow bridge=br0")
        self.peer = frames.tap_end(self.granted("bridge=br0"))
        self.assertEqual(self.crosses(0x9000 + 559), BOTH)
        self.assertEqual(self.crosses(0x9000 + 560), NEITHER)


class Holder(FilterCase):
    """Each thing that the holder of the descriptor can do to it without privilege; the filter stays."""

    def setUp(self):
        super().setUp()
        self.pair("bridge=br0,filter=ipv4")
        self.fd = self.got.fds[0]

    def check(self):
        self.assertEqual(self.crosses(frames.IPV6), NEITHER)
        self.assertEqual(self.crosses(frames.IPV4), BOTH)

    def test_cannot_detach_it_as_a_filter_of_tun(self):
        self.assertEqual(holder.attach_filter(self.fd, [(0x06, 0, 0, 0xffffffff)]), 0)
        self.check()
        self.assertEqual(holder.try_ioctl(self.fd, holder.TUNDETACHFILTER, bytes(16)), 0)
        self.check()

    def test_cannot_unset_it_as_tuns_ebpf_filter(self):
        self.assertEqual(holder.try_ioctl(self.fd, holder.TUNSETFILTEREBPF, EBPF_NONE), 0)
        self.check()

    def test_cannot_steer_around_it(self):
        self.assertEqual(holder.try_ioctl(self.fd, holder.TUNSETSTEERINGEBPF, EBPF_NONE), 0)
        self.check()

    def test_cannot_shift_the_frame_by_the_vnet_headers_size(self):
        for size in (10, 24, 64):
            self.assertEqual(holder.try_ioctl(self.fd, holder.TUNSETVNETHDRSZ, struct.pack("i", size)), 0)
            self.guest.header = bytes(size)
            self.check()

    def test_cannot_change_what_kind_of_link_it_is(self):
        self.assertNotEqual(holder.try_ioctl(self.fd, holder.TUNSETLINK, holder.ARPHRD_NONE), 0)
        self.check()

    def test_cannot_lose_it_by_offloads(self):
        for offloads in (0x0f, 0x01, 0):  # CSUM, TSO4, TSO6, TSO_ECN
            self.assertEqual(holder.try_ioctl(self.fd, holder.TUNSETOFFLOAD, offloads), 0)
            self.check()

    def test_cannot_lose_it_by_the_carrier(self):
        for carrier in (0, 1):
            self.assertEqual(holder.try_ioctl(self.fd, holder.TUNSETCARRIER, struct.pack("i", carrier)), 0)
        sandbox.eventually(lambda: "LOWER_UP" in links.get(self.guest.name).raw["flags"])
        self.check()

    def test_cannot_lose_it_by_another_mac(self):
        argument = holder.hardware_address(self.guest.name, "52:54:00:00:00:09")
        self.assertEqual(holder.try_ioctl(self.fd, holder.SIOCSIFHWADDR, argument), 0)
        self.check()

    def test_cannot_lose_it_by_making_the_tap_persistent(self):
        self.assertEqual(holder.try_ioctl(self.fd, holder.TUNSETPERSIST, 1), 0)
        self.check()
        self.assertEqual(holder.try_ioctl(self.fd, holder.TUNSETPERSIST, 0), 0)

    def test_cannot_lose_it_by_a_multicast_filter(self):
        self.assertEqual(holder.try_ioctl(self.fd, holder.TUNSETTXFILTER, struct.pack("HH", 0, 0)), 0)
        self.check()

    def test_cannot_delete_it(self):
        done = self.box.run(["tc", "qdisc", "del", "dev", self.guest.name, "clsact"])
        self.assertNotEqual(done.returncode, 0)
        self.check()

    def test_cannot_smuggle_past_it_by_a_gso_header(self):
        """A GSO header names a protocol of its own, which isn't the frame's."""
        gso = struct.pack("<BBHHHHH", 1, 4, 54, 1000, 54, 16, 0)  # checksum at 54, TCPv6
        smuggled = frames.make(frames.BROADCAST, GUEST, frames.IPV6, payload=frames.MARK + bytes(2000))
        self.guest.send(frames.make(frames.BROADCAST, GUEST, frames.IPV4))
        try:
            self.guest.send(smuggled, header=gso)
        except OSError:
            pass  # refused by tun itself
        self.check()


class Down(FilterCase):
    def test_a_link_type_changed_while_down_loses_nothing(self):
        """On no bridge a holder can change the type while the interface is down; what he sends is filtered all the same."""
        got = self.granted("tap=vm-1,up=off,filter=ipv4")
        self.assertEqual(holder.try_ioctl(got.fds[0], holder.TUNSETLINK, holder.ARPHRD_NONE), 0)
        sandbox.ip("link", "set", "vm-1", "up")
        guest = frames.tap_end(got)
        self.assertLess(self.dropped_of_100(guest, frames.IPV4), 50)  # a few are the host's own, of IPv6
        self.assertGreaterEqual(self.dropped_of_100(guest, frames.IPV6), 100)

    @staticmethod
    def dropped_of_100(guest, ethertype):
        def dropped():
            qdiscs = json.loads(tc("-s", "-j", "qdisc", "show", "dev", "vm-1"))
            return next(qdisc["drops"] for qdisc in qdiscs if qdisc["kind"] == "clsact")
        before = dropped()
        for _ in range(100):
            guest.send(frames.make(frames.BROADCAST, GUEST, ethertype))
        return dropped() - before


class Existing(FilterCase):
    """tap=NAME of a tap that the administrator made for alice."""

    def setUp(self):
        super().setUp()
        sandbox.ip("tuntap", "add", "dev", "vm-1", "mode", "tap", "user", str(self.box.users["alice"].uid), "vnet_hdr")
        sandbox.ip("link", "set", "vm-1", "master", "br0")
        self.peer = frames.tap_end(self.granted("bridge=br0"))

    def filters(self):
        return tc("filter", "show", "dev", "vm-1", "ingress") + tc("filter", "show", "dev", "vm-1", "egress")

    def qdiscs(self):
        return tc("qdisc", "show", "dev", "vm-1")

    def take(self, spec):
        got = self.granted(spec)
        self.guest = frames.tap_end(got)
        if "up=off" not in spec:  # the bridge hears of the carrier a little later
            self.assertTrue(sandbox.eventually(lambda: links.get("vm-1").port["state"] == "forwarding"))
        return got

    def test_gets_the_filter(self):
        self.take("tap=vm-1,filter=ipv4")
        self.assertEqual(self.crosses(frames.IPV4), BOTH)
        self.assertEqual(self.crosses(frames.IPV6), NEITHER)

    def test_gets_that_of_the_latest_hand_over(self):
        self.take("tap=vm-1,filter=ipv4").close()
        self.take("tap=vm-1,filter=ipv4,ipv6")
        self.assertEqual(self.crosses(frames.IPV6), BOTH)
        self.assertEqual(self.crosses(frames.ARP), NEITHER)

    def test_loses_it_when_the_latest_hand_over_has_none(self):
        before = self.qdiscs()
        self.take("tap=vm-1,filter=ipv4,up=off").close()
        self.assertNotEqual(self.qdiscs(), before)
        self.take("tap=vm-1,up=off").close()
        self.assertEqual((self.filters(), self.qdiscs()), ("", before))

    def test_keeps_that_of_the_one_before_when_a_hand_over_fails(self):
        self.take("tap=vm-1,filter=ipv4").close()
        before = self.filters()
        self.assertIn(OURS, before)
        with self.full_socket() as options:
            got = handover.ask(self.box, self.helper, ["--net=tap=vm-1,filter=arp", f"--fd={options}"],
                               pass_fds=(options,))
        self.assertNotEqual(got.status, 0)
        self.assertEqual(self.filters(), before)

    def full_socket(self):
        """A connected socket whose other end is gone: everything works up to the sending."""
        import contextlib
        import socket

        @contextlib.contextmanager
        def make():
            ours, theirs = socket.socketpair()
            theirs.shutdown(socket.SHUT_WR)
            ours.shutdown(socket.SHUT_RD)
            with ours, theirs:
                yield theirs.fileno()
        return make()

    def test_is_refused_where_the_administrator_has_filters(self):
        tc("qdisc", "add", "dev", "vm-1", "clsact")
        tc("filter", "add", "dev", "vm-1", "ingress", "bpf", "da", "bytecode", "1,6 0 0 4294967295")
        before = self.filters()
        self.refused("tap=vm-1,filter=ipv4", says="filters of its own")
        self.assertEqual(self.filters(), before)
        self.take("tap=vm-1")
        self.assertEqual(self.filters(), before)

    def test_is_refused_where_the_administrator_has_an_ingress_qdisc(self):
        tc("qdisc", "add", "dev", "vm-1", "ingress")
        before = self.qdiscs()
        self.refused("tap=vm-1,filter=ipv4", says="filters of its own")
        self.assertEqual(self.qdiscs(), before)


if __name__ == "__main__":
    unittest.main()
